#!/bin/sh
# curl: a script that runs for a moment asks for the token each time and keeps none.
# One that gets a 401 reports the generation, and repeats the call once with the new token.
set -eu
auth="Authorization: Bearer $BROKER_KEY"
field() { printf '%s' "$1" | sed -n "s/.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
token() { curl -sSf --retry 2 --retry-connrefused -H "$auth" "$BROKER_URL/tokens/demo"; }
report() {
  curl -sSf --retry 2 -H "$auth" -H 'Content-Type: application/json' \
    -d "{\"generation\":$(field "$1" generation)}" "$BROKER_URL/tokens/demo/refresh"
}
call() {
  curl -sS -o /dev/null -w '%{http_code}' \
    -H "Authorization: Bearer $(field "$1" access_token)" "$(field "$1" api_url)/api/v4/account"
}

end=$(($(date +%s) + ${AMO_SECONDS:-5}))
calls=0
failures=''
while [ "$(date +%s)" -lt "$end" ]; do
  calls=$((calls + 1))
  answer=$(token)
  status=$(call "$answer")
  if [ "$status" = 401 ]; then status=$(call "$(report "$answer")"); fi
  if [ "$status" != 200 ]; then failures="$failures,\"$status\""; fi
  sleep 1
done
printf '{"calls":%s,"failures":[%s]}\n' "$calls" "${failures#,}"
