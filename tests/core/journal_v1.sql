BEGIN TRANSACTION;
CREATE TABLE meta (
	"key" VARCHAR(40) NOT NULL, 
	value VARCHAR(200) NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema','1');
INSERT INTO "meta" VALUES('install','afc8581b824f3d3d');
INSERT INTO "meta" VALUES('sequence','3');
CREATE TABLE operations (
	number INTEGER NOT NULL, 
	id VARCHAR(40) NOT NULL, 
	uid VARCHAR(500) NOT NULL, 
	backend VARCHAR(40) NOT NULL, 
	vm VARCHAR(255) NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	url TEXT NOT NULL, 
	asked FLOAT NOT NULL, 
	ended FLOAT, 
	status VARCHAR(16) NOT NULL, 
	error VARCHAR(500) NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (id)
);
INSERT INTO "operations" VALUES(1,'dd72e16bb3100541','sim/sim-account/clock=virtual,world=old/live','sim','live','provision','vmops+sim://live/provision?account=sim-account&at=1700000000.000&clock=virtual&faults=provision:3%3Dlost,provision:4%3Dlost-applied&id=dd72e16bb3100541&world=old#op=op-00000005&vmId=vm-00000004&sum=ba5c7316',1700000000.0,1.70000000209999799728e+09,'succeeded','');
INSERT INTO "operations" VALUES(2,'00a955df0776e575','sim/sim-account/clock=virtual,world=old/accepted','sim','accepted','provision','vmops+sim://accepted/provision?account=sim-account&at=1700000002.100&clock=virtual&faults=provision:3%3Dlost,provision:4%3Dlost-applied&id=00a955df0776e575&world=old#op=op-0000001f&vmId=vm-0000001e&sum=7ded5640',1.70000000209999799728e+09,NULL,'','');
INSERT INTO "operations" VALUES(3,'d58c4e1d545e7237cbc0b2461059155d','sim/sim-account/clock=virtual,world=old/live','sim','live','stop','vmops+sim://live/stop?account=sim-account&at=1700000002.100&clock=virtual&faults=provision:3%3Dlost,provision:4%3Dlost-applied&id=d58c4e1d545e7237cbc0b2461059155d&mode=release&world=old#boot=1700000002.000&op=op-00000024&vmId=vm-00000004&sum=b774f6ba',1.70000000209999799728e+09,NULL,'','');
CREATE TABLE vms (
	uid VARCHAR(500) NOT NULL, 
	generation INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	token VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	backend VARCHAR(40) NOT NULL, 
	vm VARCHAR(255) NOT NULL, 
	vm_id VARCHAR(500) NOT NULL, 
	url TEXT NOT NULL, 
	sent FLOAT NOT NULL, 
	fence INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	batch INTEGER NOT NULL, 
	member INTEGER NOT NULL, 
	expires INTEGER NOT NULL, 
	lease_owner VARCHAR(64) NOT NULL, 
	lease_until FLOAT NOT NULL, 
	PRIMARY KEY (uid)
);
INSERT INTO "vms" VALUES('sim/sim-account/clock=virtual,world=old/live',0,'LIVE','3612b75a5bf3654b21ff6df466ba2951','e924c6323f439498530db79ebd855be8b3bd289decaffe6739c234250830c952','sim','live','vm-00000004','vmops+sim://live/provision?account=sim-account&at=1700000000.000&clock=virtual&faults=provision:3%3Dlost,provision:4%3Dlost-applied&id=dd72e16bb3100541&world=old#op=op-00000005&vmId=vm-00000004&sum=ba5c7316',1700000000.0,1,1,0,0,0,'',0.0);
INSERT INTO "vms" VALUES('sim/sim-account/clock=virtual,world=old/accepted',0,'ACCEPTED','c6dd92ff374172b1bbc51a56f24846fd','e924c6323f439498530db79ebd855be8b3bd289decaffe6739c234250830c952','sim','accepted','vm-0000001e','vmops+sim://accepted/provision?account=sim-account&at=1700000002.100&clock=virtual&faults=provision:3%3Dlost,provision:4%3Dlost-applied&id=00a955df0776e575&world=old#op=op-0000001f&vmId=vm-0000001e&sum=7ded5640',1.70000000209999799728e+09,1,2,0,0,0,'',0.0);
INSERT INTO "vms" VALUES('sim/sim-account/clock=virtual,world=old/intent',0,'INTENT','529ae15294bdbaf8956da4fdfa9b054c','e924c6323f439498530db79ebd855be8b3bd289decaffe6739c234250830c952','sim','intent','','',1.70000000209999799728e+09,1,3,0,0,0,'',0.0);
CREATE INDEX ix_vms_state ON vms (state);
CREATE INDEX ix_vms_token ON vms (token);
CREATE INDEX ix_operations_uid ON operations (uid);
COMMIT;
