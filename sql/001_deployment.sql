-- runs beside: 0.1.0

-- "Sealed" in these files means: encrypted by the key ring (ENCRYPTION_KEYS).
-- src/vault/sealed-places.ts lists every sealed column.
--
-- Lock order. A transaction that locks rows of several tables takes them in this order, so that no
-- two can deadlock:
--
--   1. amo_tokens   2. amo_integrations   3. amo_breakers   4. amo_refresh_attempts

-- One row: which programs can run on this database.
create table amo_schema (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  -- The oldest version of the broker that can run on the present schema. Migrations raise it.
  "oldestVersion" text not null check ("oldestVersion" ~ '^\d+\.\d+\.\d+$')
);

-- One row: the deployment that this database belongs to. Claims compare it in their own statement,
-- so a broker of another deployment (on a copied or restored database) sends nothing.
create table amo_deployment (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  -- DEPLOYMENT_ID of the brokers that may refresh. Changed only by `amo-broker adopt`.
  "deploymentId" text not null,
  -- Sealed. The root from which the keys of all keyed hashes are derived. It never changes.
  "rootSecret" text not null,
  -- Ids of the encryption keys that values were ever sealed under. Tells a key that is no longer in
  -- use from one that was just added for the next rotation.
  "usedKeys" text[] not null default '{}',
  "createdAt" timestamptz not null default now()
);

-- One row for each process of the broker: its heartbeat. Writing it proves that the server accepts
-- writes. A process that ends removes its row; another one removes rows that are an hour old.
create table amo_replicas (
  -- The id of the process start, as in amo_refresh_attempts.owner.
  owner text primary key,
  "startedAt" timestamptz not null default clock_timestamp(),
  "beatAt" timestamptz not null
) with (fillfactor = 50);
