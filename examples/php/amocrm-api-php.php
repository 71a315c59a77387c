<?php

declare(strict_types=1);

// amocrm/amocrm-api-php (read at 1.16.0) refreshes when its token has expired, or after a 401. With
// its setRefreshAccessTokenCallback the next token comes from the broker, and the library never
// refreshes by itself: give it no client secret and no refresh token. It cannot be installed where
// these examples are tested, so the classes below stand in for its own. They make the same calls in
// the same order.

require __DIR__ . '/Broker.php';

/** Stands in for League\OAuth2\Client\Token\AccessToken. */
final class AccessToken
{
    /** @param array{access_token: string, expires: int} $options */
    public function __construct(private array $options)
    {
    }

    public function getToken(): string
    {
        return $this->options['access_token'];
    }

    public function hasExpired(): bool
    {
        return $this->options['expires'] < time();
    }
}

/** Stands in for AmoCRM\Client\AmoCRMApiClient. */
final class AmoCRMApiClient
{
    private ?AccessToken $accessToken = null;
    private ?Closure $refreshAccessTokenCallback = null;
    private string $baseDomain = '';

    public function setAccessToken(AccessToken $accessToken): self
    {
        $this->accessToken = $accessToken;
        return $this;
    }

    public function getAccessToken(): ?AccessToken
    {
        return $this->accessToken;
    }

    public function setAccountBaseDomain(string $domain): self
    {
        $this->baseDomain = $domain;
        return $this;
    }

    public function setRefreshAccessTokenCallback(callable $callable): self
    {
        $this->refreshAccessTokenCallback = $callable(...);
        return $this;
    }

    /** Each service gets a request with the token that the client has now. */
    public function account(): AmoCRMApiRequest
    {
        // Not in the library, which always uses https: the sandbox answers http.
        $url = (getenv('AMO_SCHEME') ?: 'https') . "://{$this->baseDomain}/";
        return new AmoCRMApiRequest($this->accessToken, $url, $this->refreshAccessTokenCallback);
    }
}

/** Stands in for AmoCRM\Client\AmoCRMApiRequest. */
final class AmoCRMApiRequest
{
    public function __construct(
        private AccessToken $accessToken,
        private string $url,
        private Closure $refreshAccessTokenCallback,
    ) {
    }

    public function get(string $method, bool $needToRefresh = false): array
    {
        if ($this->accessToken->hasExpired()) {
            $needToRefresh = true;
        }
        if ($needToRefresh) {
            // The callback gets no argument. Only this request takes its token over, not the client.
            $this->accessToken = ($this->refreshAccessTokenCallback)();
        }
        [$status, $text] = Broker::send('GET', $this->url . $method, $this->accessToken->getToken());
        if ($status === 401 && !$needToRefresh) {
            return $this->get($method, true);
        }
        if ($status !== 200) {
            throw new RuntimeException("HTTP $status");
        }
        return json_decode($text, true);
    }
}

$broker = new Broker(getenv('BROKER_URL'), getenv('BROKER_KEY'));
$current = $broker->getToken('demo');
$host = parse_url($current['api_url'], PHP_URL_HOST);
$port = parse_url($current['api_url'], PHP_URL_PORT);
putenv('AMO_SCHEME=' . parse_url($current['api_url'], PHP_URL_SCHEME));

// "expires" is the end of the broker's promise: the library asks again then, which costs a read.
$toAccessToken = fn (array $token): AccessToken => new AccessToken([
    'access_token' => $token['access_token'],
    'expires' => time() + $token['use_for'],
]);

$client = new AmoCRMApiClient();
$client
    ->setAccountBaseDomain($port === null ? $host : "$host:$port")
    ->setAccessToken($toAccessToken($current))
    ->setRefreshAccessTokenCallback(function () use ($client, $broker, &$current, $toAccessToken) {
        // Expired: the promise is over, and a read is enough. Not expired: the CRM answered 401.
        $isOver = $client->getAccessToken()->hasExpired();
        $current = $isOver ? $broker->getToken('demo') : $broker->report('demo', $current);
        // The next service would start with the old token otherwise.
        $client->setAccessToken($next = $toAccessToken($current));
        return $next;
    });

// In the library: $client->account()->getCurrent()->getSubdomain()
run(fn (): bool => $client->account()->get('api/v4/account')['subdomain'] === 'demo');
