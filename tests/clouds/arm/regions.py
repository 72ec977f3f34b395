"""The regions that there are, and the refusal of others."""

from __future__ import annotations

from arm.errors import Refused

REGIONS = (
    "asia",
    "asiapacific",
    "australiacentral",
    "australiacentral2",
    "australiaeast",
    "australiasoutheast",
    "austriaeast",
    "belgiumcentral",
    "brazilsouth",
    "brazilsoutheast",
    "canadacentral",
    "canadaeast",
    "centralindia",
    "centralus",
    "centraluseuap",
    "chilecentral",
    "eastasia",
    "eastus",
    "eastus2",
    "eastus2euap",
    "francecentral",
    "francesouth",
    "germanynorth",
    "germanywestcentral",
    "indonesiacentral",
    "israelcentral",
    "italynorth",
    "japaneast",
    "japanwest",
    "jioindiacentral",
    "jioindiawest",
    "koreacentral",
    "koreasouth",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northcentralus",
    "northeurope",
    "norwayeast",
    "norwaywest",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southafricawest",
    "southcentralus",
    "southeastasia",
    "southindia",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    "switzerlandnorth",
    "switzerlandwest",
    "uaecentral",
    "uaenorth",
    "uksouth",
    "ukwest",
    "westcentralus",
    "westeurope",
    "westindia",
    "westus",
    "westus2",
    "westus3",
    "chinaeast",
    "chinaeast2",
    "chinaeast3",
    "chinanorth",
    "chinanorth2",
    "chinanorth3",
    "usdodcentral",
    "usdodeast",
    "usgovarizona",
    "usgoviowa",
    "usgovtexas",
    "usgovvirginia",
)


def plain(location: str) -> str:
    """A region's name as ARM shows it: West Europe is westeurope."""
    return location.replace(" ", "").lower()


def checked(location: str, kind: str) -> None:
    """Refuses a region that there is not."""
    if plain(location) in REGIONS:
        return
    if kind == "groups":
        code, of = "LocationNotAvailableForResourceGroup", "resource group"
    else:
        code, of = "LocationNotAvailableForResourceType", f"resource type '{kind}'"
    raise Refused(
        400,
        code,
        f"The provided location '{location}' is not available for {of}. List of available regions"
        f" is '{','.join(REGIONS)}'.",
    )
