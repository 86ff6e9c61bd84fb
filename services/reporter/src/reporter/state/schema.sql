-- The present schema of the reporter: what all migrations together make. A test compares the two.

CREATE TABLE reports (
    request_id uuid NOT NULL,
    generation integer NOT NULL,
    owner text,
    source_name text NOT NULL,
    output_csv text NOT NULL,
    failed_csv text NOT NULL,
    results_jsonl text NOT NULL,
    row_count integer NOT NULL,
    image_count integer NOT NULL,
    create_time timestamptz NOT NULL,
    output_xlsx text,                    -- NULL: the sheet did not come as a workbook, or
    xlsx_left_out text,                  -- why the result of a workbook is none
    report_html text,                    -- NULL: of the releases before
    PRIMARY KEY (request_id, generation)
);
COMMENT ON TABLE reports IS 'One row per published report; the objects it names exist.';
CREATE INDEX reports_by_owner ON reports (owner, create_time);
CREATE INDEX reports_by_age ON reports (create_time);

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    owner text,
    url text NOT NULL,
    description text NOT NULL,
    event_types text[],                  -- NULL: all of them, also those that later releases add
    disabled_reason text,
    disable_time timestamptz,
    failing_since timestamptz,           -- the first failure after the last success
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    delete_time timestamptz,
    CONSTRAINT webhook_endpoints_disabled_reason
        CHECK (disabled_reason IN ('PAUSED', 'GONE', 'FAILING', 'DELETED')),
    CONSTRAINT webhook_endpoints_disabled_with_a_time CHECK ((disabled_reason IS NULL) = (disable_time IS NULL))
);
COMMENT ON TABLE webhook_endpoints IS
    'One row per subscription; a deleted one stays for the sake of its deliveries, without secrets.';
CREATE INDEX webhook_endpoints_by_owner ON webhook_endpoints (owner, create_time) WHERE delete_time IS NULL;
CREATE INDEX webhook_endpoints_deleted ON webhook_endpoints (delete_time) WHERE delete_time IS NOT NULL;

CREATE TABLE webhook_secrets (
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints (id),
    salt bytea NOT NULL,
    key_id text NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,             -- NULL: the newest one
    PRIMARY KEY (endpoint_id, salt)
);
COMMENT ON TABLE webhook_secrets IS
    'Seeds of signing secrets, not the secrets; the one without expire_time is the newest.';

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    request_id uuid NOT NULL,
    generation integer NOT NULL,
    type text NOT NULL,
    url text NOT NULL,
    url_sha256 text NOT NULL,            -- a URL may be too long for an index; of an endpoint, the digest of its id
    message_id text NOT NULL UNIQUE,     -- the same in every attempt
    body bytea NOT NULL,                 -- the very bytes of every attempt
    state text NOT NULL,
    attempts integer NOT NULL DEFAULT 0, -- finished ones
    next_attempt_time timestamptz,
    lease_until timestamptz,             -- a worker is making the next attempt until then
    sweep_time timestamptz,              -- when the sweeper takes the task, or the worker, for lost
    resends integer NOT NULL DEFAULT 0,  -- part of the next task's name
    end_reason text,
    create_time timestamptz NOT NULL,
    end_time timestamptz,
    endpoint_id uuid REFERENCES webhook_endpoints (id), -- NULL: the URL of a batch or of the deployment
    earlier_attempts integer NOT NULL DEFAULT 0,        -- those before the last redelivery
    owner text,                          -- whose batch the event is about: there may be no report yet
    CONSTRAINT deliveries_once UNIQUE (request_id, generation, type, url_sha256),
    CONSTRAINT deliveries_state CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    CONSTRAINT deliveries_pending_has_a_time CHECK (
        (state = 'PENDING') = (next_attempt_time IS NOT NULL AND sweep_time IS NOT NULL AND end_time IS NULL))
);
COMMENT ON TABLE deliveries IS
    'One row per event and endpoint: what is sent, how often it was tried, when it is tried again.';
CREATE INDEX deliveries_due ON deliveries (sweep_time) WHERE state = 'PENDING';
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX deliveries_by_end ON deliveries (end_time) WHERE end_time IS NOT NULL;
CREATE INDEX deliveries_newest ON deliveries (create_time DESC, id DESC);
-- An index on `owner` itself would not serve rows without one in this order; no owner is the empty text.
CREATE INDEX deliveries_by_owner ON deliveries ((coalesce(owner, '')), create_time DESC, id DESC);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, create_time, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX deliveries_by_endpoint_and_state ON deliveries (endpoint_id, state, create_time, id)
    WHERE endpoint_id IS NOT NULL;

CREATE TABLE delivery_attempts (
    delivery_id uuid NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number integer NOT NULL,
    start_time timestamptz NOT NULL,
    elapsed_ms integer NOT NULL,
    status_code integer,
    failure text,
    answer text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, number),
    CONSTRAINT delivery_attempts_one_outcome CHECK ((status_code IS NULL) <> (failure IS NULL))
);
COMMENT ON TABLE delivery_attempts IS
    'One row per finished attempt: an HTTP status, or the code of the failure that prevented one.';
