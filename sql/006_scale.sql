-- Which keys the tokens are sealed under is asked for every ten minutes: by a look at each key, not at each row.
create function amo_key_id(sealed text) returns text immutable parallel safe language sql as $$
  select case when sealed ~ '^[A-Za-z0-9_-]{1,32}\.' then split_part(sealed, '.', 1) else 'unreadable' end
$$;
create index amo_tokens_access_key on amo_tokens (amo_key_id("accessToken"));
create index amo_tokens_refresh_key on amo_tokens (amo_key_id("refreshToken")) where "refreshToken" is not null;
