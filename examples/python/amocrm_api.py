"""amocrm_api asks a token manager for the token of each request: give it one that asks the broker.

The library cannot be installed where these examples are tested, so Interaction below stands in for
its class of that name. With the library itself:

    from amocrm.v2.interaction import BaseInteraction
    BaseInteraction(token_manager=BrokerTokenManager(broker, "demo"))
"""

import json
import os
import urllib.error
import urllib.request

from broker import Broker, run


class BrokerTokenManager:
    """Has the two methods of amocrm_api's TokenManager that its requests use."""

    def __init__(self, broker, account):
        self._broker, self._account, self._last = broker, account, None

    def get_access_token(self):
        self._last = self._broker.get_token(self._account)
        return self._last["access_token"]

    @property
    def subdomain(self):
        return self._broker.get_token(self._account)["domain"].split(".")[0]

    def report(self):
        """Call it after a 401, then repeat the request."""
        self._broker.report(self._account, self._last)


class Interaction:
    def __init__(self, token_manager, base_url):
        self._token_manager, self._base_url = token_manager, base_url

    def request(self, method, path):
        headers = {"Authorization": "Bearer " + self._token_manager.get_access_token()}
        url = f"{self._base_url}/api/v4/{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers)) as response:
                return json.load(response), response.status
        except urllib.error.HTTPError as error:
            return None, error.code


if __name__ == "__main__":
    broker = Broker(os.environ["BROKER_URL"], os.environ["BROKER_KEY"])
    manager = BrokerTokenManager(broker, "demo")
    interaction = Interaction(manager, broker.get_token("demo")["api_url"])

    def ask():
        body, status = interaction.request("GET", "account")
        if status == 401:
            manager.report()
            body, status = interaction.request("GET", "account")
        return status == 200 and body["subdomain"] == manager.subdomain == "demo"

    run(ask)
