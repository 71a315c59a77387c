"""Tokens of the amo token broker for Python: standard library only."""

import base64
import json
import os
import threading
import time
import urllib.error
import urllib.request


class TokenError(Exception):
    def __init__(self, status, problem, retry_after):
        super().__init__(problem.get("detail", f"the broker answered {status}"))
        self.status, self.code = status, problem.get("code")
        self.remedy, self.connect_url = problem.get("remedy"), problem.get("connect_url")
        self.retry_after = retry_after


class Broker:
    """Caches tokens until use_until, asks once for all threads, reports a 401 once."""

    def __init__(self, url, key):
        self._url, self._key = url.rstrip("/"), key
        self._cached, self._lock = {}, threading.Lock()

    def get_token(self, account):
        with self._lock:
            token = self._cached.get(account)
            if token and time.monotonic() < token["use_until_at"]:
                return token
            try:
                return self._keep(account, *self._ask("GET", f"/tokens/{account}"))
            except (TokenError, OSError) as error:
                # Without a new token the old one is good until its rest is left. A permanent refusal is final.
                is_permanent = isinstance(error, TokenError) and error.status < 500 and error.status != 429
                if is_permanent or not token or time.monotonic() >= token["good_until_at"]:
                    raise
                return token

    def report(self, account, token):
        """A token got a 401: returns the next one. Reports each generation once."""
        with self._lock:
            newer = self._cached.get(account)
            if newer and newer["generation"] > token["generation"]:
                return newer
            body = {"generation": token["generation"]}
            return self._keep(account, *self._ask("POST", f"/tokens/{account}/refresh", body))

    def call(self, account, method, path, body=None):
        """Calls the CRM. Returns (status, text); a 401 is reported and the call repeated once."""
        token = self.get_token(account)
        answer = self._send(token, method, path, body)
        if answer[0] == 401:
            answer = self._send(self.report(account, token), method, path, body)
        return answer

    def _keep(self, account, token, started):
        token["use_until_at"] = started + token["use_for"]
        rest = min(5, _life(token["access_token"]) / 10)
        token["good_until_at"] = started + token["expires_in"] - rest
        if token["use_for"] > 0:
            self._cached[account] = token
        return token

    def _ask(self, method, path, body=None):
        for attempt in (1, 2):
            started = time.monotonic()
            request = urllib.request.Request(
                self._url + path,
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as response:
                    return json.load(response), started
            except urllib.error.HTTPError as error:
                retry_after = float(error.headers.get("Retry-After", 0))
                is_transient = error.code >= 500 or error.code == 429
                if attempt == 2 or not is_transient or retry_after > 5:
                    raise TokenError(error.code, json.loads(error.read() or b"{}"), retry_after) from None
                time.sleep(retry_after or 0.2)
            except OSError:
                if attempt == 2:
                    raise
                time.sleep(0.2)

    @staticmethod
    def _send(token, method, path, body):
        request = urllib.request.Request(
            token["api_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def _life(access_token):
    """Seconds between iat and exp of the token; 0 where they cannot be read."""
    try:
        part = access_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims["exp"] - claims["iat"]
    except (IndexError, KeyError, ValueError):
        return 0


def run(call):
    """Repeats a call for AMO_SECONDS and prints how often it went well."""
    end, calls, failures = time.monotonic() + float(os.environ.get("AMO_SECONDS", 5)), 0, []
    while time.monotonic() < end:
        calls += 1
        try:
            if not call():
                failures.append("unexpected answer")
        except Exception as error:
            failures.append(repr(error))
        time.sleep(1)
    print(json.dumps({"calls": calls, "failures": failures}))


if __name__ == "__main__":
    broker = Broker(os.environ["BROKER_URL"], os.environ["BROKER_KEY"])

    def ask():
        status, text = broker.call("demo", "GET", "/api/v4/account")
        return status == 200 and json.loads(text)["subdomain"] == "demo"

    run(ask)
