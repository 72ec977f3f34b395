"""A stand-in for EC2, STS and SSM: moto's server, and over it what moto's EC2 lacks.

`server.py` is the script that starts it; `tests/clouds/ec2_cloud.py` is what tests use.

Imports go one way:

    errors, world <- filters, images, limits <- spot, machine <- record, checks
      <- launching, verbs <- listing <- overlay; world <- control <- front <- server

moto keeps networks, volumes, security groups, roles and tags. Instances are moto's too, made ours
by `machine.Machine`; what is answered about them, and what is refused, is decided here.
"""
