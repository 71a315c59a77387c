-- runs beside: 0.1.0

-- Replaces the function of 202611261200_timeline.sql. Only the argument of setval is new: the
-- sequence continues at the time in microseconds. It used to continue a million beyond the greatest
-- known generation. If a primary did that and a failover forgot it, the promoted standby continued
-- at the same numbers (T18). No server gives out a generation every microsecond, so each move begins
-- beyond everything that was given out since the moves before it, on any server.
create or replace function amo_raise_generations(known bigint, is_certain boolean)
returns void language plpgsql as $$
declare
  used bigint;
  last bigint;
begin
  perform pg_advisory_xact_lock(7301114);
  select last_value into last from amo_generation;
  select greatest(known, last, (select max(generation) from amo_tokens),
    (select max(generation) from amo_refresh_attempts), (select max(generation) from amo_removals))
    into used;
  if is_certain or used > last or amo_is_failed_over() then
    perform setval('amo_generation', greatest(used + 1000000,
      (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint));
  end if;
  update amo_timeline set timeline = amo_current_timeline(), "seenAt" = clock_timestamp()
  where amo_is_failed_over();
end
$$;
