/**
 * The time of a schedule, for the replicas and for PostgreSQL alike. It moves only when the
 * schedule moves it.
 */
export interface VirtualTime {
  /** Monotonic milliseconds. */
  nowMs: number
  /** Milliseconds since 1970 at `nowMs` 0. */
  readonly originMs: number
  pass(ms: number): Promise<void>
}

/**
 * Replaces PostgreSQL's clock for the sessions of this database: `search_path` finds these
 * functions before those of pg_catalog. Time stands still until the schedule moves it, and nothing
 * is random.
 */
export const VIRTUAL_CLOCK = `
  create schema virtual;
  create unlogged table virtual.clock (at timestamptz);
  insert into virtual.clock values ('epoch');
  create function virtual.clock_timestamp() returns timestamptz volatile language sql
    as 'select at from virtual.clock';
  create function virtual.now() returns timestamptz volatile language sql
    as 'select at from virtual.clock';
  create function virtual.random() returns double precision volatile language sql
    as 'select 0.5::double precision';
  alter table amo_refresh_attempts alter column "claimedAt" set default virtual.clock_timestamp();
  alter table amo_audit alter column at set default virtual.clock_timestamp();
`
