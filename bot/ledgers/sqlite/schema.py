"""The tables of the SQLite ledger, and the steps from each older form of them to the next."""

from typing import Final

# Step n brings a file of user_version n to n + 1. Steps are added, never changed.
MIGRATIONS: Final = (
    """
    CREATE TABLE users (
        id         INTEGER PRIMARY KEY,  -- Discord's
        name       TEXT NOT NULL,
        first_at_s REAL NOT NULL,
        last_at_s  REAL NOT NULL
    ) STRICT;

    CREATE TABLE jobs (
        number       INTEGER PRIMARY KEY,  -- the order of acceptance
        id           TEXT NOT NULL UNIQUE,
        state        TEXT NOT NULL,
        attempt      INTEGER NOT NULL DEFAULT 0,
        user_id      INTEGER NOT NULL REFERENCES users (id),
        guild_id     INTEGER,
        channel_id   INTEGER,
        message_id   INTEGER,
        token        TEXT NOT NULL,        -- of the interaction; emptied once the job is over
        interaction_id         INTEGER UNIQUE,
        attachment_limit_bytes INTEGER NOT NULL,
        weight       REAL NOT NULL,
        cost         REAL NOT NULL,
        request      TEXT NOT NULL,        -- JSON
        size_known   INTEGER NOT NULL,
        reason       TEXT NOT NULL DEFAULT '',
        told         INTEGER NOT NULL DEFAULT 0,
        asked_at_s   REAL NOT NULL,
        started_at_s REAL,
        drawn_at_s   REAL,
        ended_at_s   REAL
    ) STRICT;
    CREATE INDEX jobs_of_user ON jobs (user_id, number);
    CREATE INDEX jobs_of_guild ON jobs (guild_id, number);
    -- What counts against limits, so that looking back a day reads no job.
    CREATE INDEX counted_of_user ON jobs (user_id, asked_at_s)
        WHERE state NOT IN ('failed', 'rejected');
    CREATE INDEX counted_of_guild ON jobs (guild_id, asked_at_s)
        WHERE state NOT IN ('failed', 'rejected');
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX active_jobs_of_user ON jobs (user_id) WHERE state IN ('queued', 'running');
    CREATE INDEX open_jobs ON jobs (number) WHERE told = 0;
    CREATE INDEX told_jobs ON jobs (ended_at_s) WHERE told = 1;

    CREATE TABLE images (
        job        INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        place      INTEGER NOT NULL,
        seed       INTEGER NOT NULL,
        filename   TEXT NOT NULL,
        sha256     TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        PRIMARY KEY (job, place)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE transitions (
        job        INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        at_s       REAL NOT NULL,
        from_state TEXT,                   -- NULL: it was accepted
        to_state   TEXT NOT NULL,
        reason     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX transitions_of_job ON transitions (job);

    CREATE TABLE orders (
        id     INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL,
        kind   TEXT NOT NULL,
        at_s   REAL NOT NULL,
        answer TEXT
    ) STRICT;
    CREATE INDEX open_orders ON orders (id) WHERE answer IS NULL;

    -- How many jobs there are of each state: to count them would take longer with each one kept.
    CREATE TABLE counts (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER count_in AFTER INSERT ON jobs BEGIN
        INSERT INTO counts VALUES (new.state, 1)
            ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER count_over AFTER UPDATE OF state ON jobs BEGIN
        UPDATE counts SET jobs = jobs - 1 WHERE state = old.state;
        INSERT INTO counts VALUES (new.state, 1)
            ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER count_out AFTER DELETE ON jobs BEGIN
        UPDATE counts SET jobs = jobs - 1 WHERE state = old.state;
    END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN again_of TEXT;  -- the id of the job that it repeats
    CREATE UNIQUE INDEX repeated_jobs ON jobs (again_of);
    ALTER TABLE orders ADD COLUMN done INTEGER;  -- 0: it was refused; NULL: not answered yet
    """,
)
