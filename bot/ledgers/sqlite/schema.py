"""The tables of the ledger in SQLite, and the steps from each older form of them to the next.

Form 1 is the first ledger's, form 2 knows repeated jobs, form 3 knows more homes than one: ids are
text beside their home's name, and a request is kept as the wish that it was, versioned on its own.
Form 4 counts the days of what is over by time that surely passed, not by a clock that may be wrong,
and knows wishes that were heard and have no answer yet. Form 5 knows what a job was made of and how
it is shown, what was deleted, what people like and what they want by default. Form 6 knows the
language of who asked, and of what is said to them how to say it in another. Form 7 knows rules,
who is barred, what moderators see and decide, and the audit of all that. Form 8 says beside a wish
whether it asks for a larger picture: not every database looks into JSON in the same words. Form 9
knows in which bot's hands a job is, and a wish that was heard.
"""

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
    ALTER TABLE orders ADD COLUMN done INTEGER;  -- 0: refused; NULL: open, or of form 1
    """,
    """
    DROP TRIGGER count_in;
    DROP TRIGGER count_over;
    DROP TRIGGER count_out;
    DROP INDEX jobs_of_user;
    DROP INDEX jobs_of_guild;
    DROP INDEX counted_of_user;
    DROP INDEX counted_of_guild;
    DROP INDEX jobs_by_state;
    DROP INDEX active_jobs_of_user;
    DROP INDEX open_jobs;
    DROP INDEX told_jobs;
    DROP INDEX repeated_jobs;

    CREATE TABLE people (
        home       TEXT NOT NULL,
        id         TEXT NOT NULL,
        name       TEXT NOT NULL,
        first_at_s REAL NOT NULL,
        last_at_s  REAL NOT NULL,
        mention    INTEGER NOT NULL DEFAULT 0,  -- 1: when their pictures are there
        PRIMARY KEY (home, id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO people (home, id, name, first_at_s, last_at_s)
        SELECT 'discord', CAST(id AS TEXT), name, first_at_s, last_at_s FROM users;

    CREATE TABLE new_jobs (
        number       INTEGER PRIMARY KEY,  -- the order of acceptance
        id           TEXT NOT NULL UNIQUE,
        state        TEXT NOT NULL,
        attempt      INTEGER NOT NULL DEFAULT 0,
        home         TEXT NOT NULL,
        person       TEXT NOT NULL,
        community    TEXT,
        channel      TEXT,
        message      TEXT,
        token        TEXT NOT NULL,        -- opens the card; emptied once the job is over
        event        TEXT,
        attachment_limit_bytes INTEGER NOT NULL,
        weight       REAL NOT NULL,
        wish         TEXT NOT NULL,        -- JSON; see wish_json.py
        reason       TEXT NOT NULL DEFAULT '',
        told         INTEGER NOT NULL DEFAULT 0,
        asked_at_s   REAL NOT NULL,
        started_at_s REAL,
        drawn_at_s   REAL,
        ended_at_s   REAL,
        again_of     TEXT UNIQUE,          -- the id of the job that it repeats
        UNIQUE (home, event),
        FOREIGN KEY (home, person) REFERENCES people (home, id)
    ) STRICT;
    -- A request of form 2 is a wish of version 1; a size that nobody chose was a stand-in. What is
    -- no JSON is kept as it is: reading it sets the job aside.
    INSERT INTO new_jobs
        SELECT number, id, state, attempt, 'discord', CAST(user_id AS TEXT), CAST(guild_id AS TEXT),
            CAST(channel_id AS TEXT), CAST(message_id AS TEXT), token, CAST(interaction_id AS TEXT),
            attachment_limit_bytes, weight,
            CASE WHEN size_known OR NOT json_valid(request) THEN request
                 ELSE json_remove(request, '$.width_px', '$.height_px') END,
            reason, told, asked_at_s, started_at_s, drawn_at_s, ended_at_s, again_of
        FROM jobs ORDER BY number;
    DROP TABLE jobs;
    DROP TABLE users;
    ALTER TABLE new_jobs RENAME TO jobs;

    CREATE INDEX jobs_of_person ON jobs (home, person, number);
    CREATE INDEX jobs_of_community ON jobs (home, community, number);
    -- What counts against limits, so that looking back a day reads no job.
    CREATE INDEX counted_of_person ON jobs (home, person, asked_at_s)
        WHERE state NOT IN ('failed', 'rejected');
    CREATE INDEX counted_of_community ON jobs (home, community, asked_at_s)
        WHERE state NOT IN ('failed', 'rejected');
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX active_jobs_of_person ON jobs (home, person)
        WHERE state IN ('queued', 'running');
    CREATE INDEX open_jobs ON jobs (number) WHERE told = 0;
    CREATE INDEX told_jobs ON jobs (ended_at_s) WHERE told = 1;

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
    ALTER TABLE jobs ADD COLUMN kept_since_s REAL;  -- it was over and told then, as `clock` counts
    UPDATE jobs SET kept_since_s = ended_at_s WHERE told = 1;
    DROP INDEX told_jobs;
    CREATE INDEX kept_jobs ON jobs (kept_since_s, number) WHERE kept_since_s IS NOT NULL;
    CREATE INDEX people_by_last ON people (last_at_s);

    -- One row, or none before the first look; see passage.py. What `people` and `orders` hold of
    -- times for their deletion is its passed_s as well.
    CREATE TABLE clock (
        passed_s       REAL NOT NULL,
        wall_s         REAL NOT NULL,
        doubted_s      REAL NOT NULL,
        doubted_from_s REAL NOT NULL
    ) STRICT;

    CREATE TABLE unanswered (
        home      TEXT NOT NULL,
        event     TEXT NOT NULL,
        community TEXT,
        channel   TEXT,
        token     TEXT NOT NULL,  -- opens what is to be answered
        attachment_limit_bytes INTEGER NOT NULL,
        PRIMARY KEY (home, event)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN parent TEXT;  -- the id of the job that it was made of
    ALTER TABLE jobs ADD COLUMN act TEXT;
    ALTER TABLE jobs ADD COLUMN parent_place INTEGER;
    ALTER TABLE jobs ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN spoiler INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN mention INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN deleted TEXT;  -- by whom its pictures were, as a sentence
    CREATE INDEX children ON jobs (parent, number) WHERE parent IS NOT NULL;

    CREATE TABLE favourites (
        home   TEXT NOT NULL,
        person TEXT NOT NULL,
        job    INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        place  INTEGER NOT NULL,
        number INTEGER PRIMARY KEY,  -- in the order in which they were liked
        UNIQUE (home, person, job, place)
    ) STRICT;
    CREATE INDEX favourites_of_job ON favourites (job);

    -- What is drawn where a wish leaves it open; NULL: nothing is said.
    CREATE TABLE defaults (
        home    TEXT NOT NULL,
        whose   TEXT NOT NULL,
        id      TEXT NOT NULL,
        wish    TEXT NOT NULL,  -- JSON; see wish_json.py
        private INTEGER,
        spoiler INTEGER,
        mention INTEGER,
        PRIMARY KEY (home, whose, id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN locale TEXT NOT NULL DEFAULT '';  -- of who asked; BCP 47
    -- What `reason` and `deleted` were made of, JSON; NULL: they are texts of one language.
    ALTER TABLE jobs ADD COLUMN reason_said TEXT;
    ALTER TABLE jobs ADD COLUMN deleted_said TEXT;
    ALTER TABLE unanswered ADD COLUMN locale TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE jobs ADD COLUMN review INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN adult INTEGER NOT NULL DEFAULT 0;
    -- 1: its card does not show yet what was decided about it.
    ALTER TABLE jobs ADD COLUMN amend INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_to_amend ON jobs (home, number) WHERE amend = 1;
    CREATE INDEX jobs_by_message ON jobs (home, message) WHERE message IS NOT NULL;

    CREATE TABLE houses (
        home      TEXT NOT NULL,
        community TEXT NOT NULL,
        desk      TEXT,     -- the channel of the moderators' desk
        paused    TEXT,     -- why; NULL: it is not
        keep_days INTEGER,
        PRIMARY KEY (home, community)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE rules (
        home      TEXT NOT NULL,
        community TEXT NOT NULL,
        channel   TEXT NOT NULL,  -- '': in all of them
        role      TEXT NOT NULL,  -- '': whoever it is
        said      TEXT NOT NULL,  -- JSON, the fields of `Rules`
        PRIMARY KEY (home, community, channel, role)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE terms (
        home      TEXT NOT NULL,
        community TEXT NOT NULL,
        text      TEXT NOT NULL,
        kind      TEXT NOT NULL,
        measure   TEXT NOT NULL,
        category  TEXT NOT NULL,
        PRIMARY KEY (home, community, text)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE blocks (
        home      TEXT NOT NULL,
        community TEXT NOT NULL,
        person    TEXT NOT NULL,
        until_s   REAL,
        reason    TEXT NOT NULL,
        PRIMARY KEY (home, community, person)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE cases (
        number    INTEGER PRIMARY KEY,
        id        TEXT NOT NULL UNIQUE,
        kind      TEXT NOT NULL,
        state     TEXT NOT NULL,
        home      TEXT NOT NULL,
        community TEXT,
        channel   TEXT,
        person    TEXT NOT NULL,
        name      TEXT NOT NULL,
        locale    TEXT NOT NULL,
        job       TEXT,           -- its id; the job may be forgotten by now
        prompt    TEXT NOT NULL,
        findings  TEXT NOT NULL,  -- JSON
        at_s      REAL NOT NULL,
        kept_since_s REAL NOT NULL,  -- as `clock` counts
        decided   TEXT,
        warned    INTEGER NOT NULL DEFAULT 0,
        message   TEXT,
        version   INTEGER NOT NULL DEFAULT 1,
        shown     INTEGER NOT NULL DEFAULT 0  -- the version that the desk shows
    ) STRICT;
    CREATE INDEX cases_of_job ON cases (job) WHERE job IS NOT NULL;
    CREATE INDEX cases_of_person ON cases (home, community, person);
    CREATE INDEX cases_not_shown ON cases (home, number) WHERE shown < version;
    CREATE INDEX cases_by_age ON cases (kept_since_s);

    CREATE TABLE reports (
        number    INTEGER PRIMARY KEY,
        case_number INTEGER NOT NULL REFERENCES cases (number) ON DELETE CASCADE,
        home      TEXT NOT NULL,
        person    TEXT NOT NULL,
        name      TEXT NOT NULL,
        reason    TEXT NOT NULL,
        at_s      REAL NOT NULL,
        UNIQUE (case_number, home, person)
    ) STRICT;
    CREATE INDEX reports_of_person ON reports (home, person, at_s);

    CREATE TABLE notices (
        number    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: it is a nonce
        home      TEXT NOT NULL,
        person    TEXT NOT NULL,
        name      TEXT NOT NULL,
        locale    TEXT NOT NULL,
        community TEXT,
        sentence  TEXT NOT NULL,
        said      TEXT,
        kept_since_s REAL NOT NULL  -- as `clock` counts
    ) STRICT;

    -- Whatever is written here stays as it was written.
    CREATE TABLE audit (
        number    INTEGER PRIMARY KEY,
        at_s      REAL NOT NULL,
        home      TEXT NOT NULL,
        community TEXT,
        actor     TEXT NOT NULL,
        kind      TEXT NOT NULL,
        target    TEXT NOT NULL,
        reason    TEXT NOT NULL,
        before    TEXT NOT NULL,
        after     TEXT NOT NULL,
        hash      TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_of_community ON audit (home, community, number);
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
        SELECT raise(ABORT, 'the audit is not changed');
    END;
    CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN
        SELECT raise(ABORT, 'the audit is not cut');
    END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN upscaled INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET upscaled = 1
        WHERE CASE WHEN json_valid(wish) THEN json_extract(wish, '$.upscale') END IS NOT NULL;
    """,
    """
    -- In whose hands it is; of a job, until it is over and told. '': in nobody's that works here.
    ALTER TABLE jobs ADD COLUMN bot TEXT NOT NULL DEFAULT '';
    ALTER TABLE unanswered ADD COLUMN bot TEXT NOT NULL DEFAULT '';
    -- How much came to be of it that the bot in whose hands it is has not looked at yet.
    ALTER TABLE jobs ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE unanswered ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_with_news ON jobs (bot) WHERE news > 0;
    """,
)
