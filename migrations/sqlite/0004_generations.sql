-- The names that each revocation log had before: a name that the database doesn't know is one from its own future.

CREATE TABLE generations (
    tenant TEXT NOT NULL,
    generation TEXT NOT NULL,
    replaced_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, generation)
) STRICT;
