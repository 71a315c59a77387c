<?php

declare(strict_types=1);

/** The broker gave no token. */
final class TokenError extends RuntimeException
{
    public function __construct(public readonly int $status, public readonly array $problem)
    {
        parent::__construct($problem['detail'] ?? "the broker answered $status", $status);
    }
}

/** Tokens of the amo token broker: cached until use_until, a 401 reported once. */
final class Broker
{
    /** @var array<string, array<string, mixed>> */
    private array $cached = [];

    public function __construct(private string $url, private string $key)
    {
    }

    /** @return array<string, mixed> the broker's token response */
    public function getToken(string $account): array
    {
        $token = $this->cached[$account] ?? null;
        if ($token !== null && self::now() < $token['use_until_at']) {
            return $token;
        }
        try {
            return $this->ask($account, 'GET', "/tokens/$account");
        } catch (TokenError $error) {
            // Without a new token the old one is good until its rest is left. A permanent refusal is final.
            $isPermanent = $error->status >= 400 && $error->status < 500 && $error->status !== 429;
            if ($isPermanent || $token === null || self::now() >= $token['good_until_at']) {
                throw $error;
            }
            return $token;
        }
    }

    /** A token got a 401: returns the next one. */
    public function report(string $account, array $token): array
    {
        $newer = $this->cached[$account] ?? $token;
        if ($newer['generation'] > $token['generation']) {
            return $newer;
        }
        $body = json_encode(['generation' => $token['generation']]);
        return $this->ask($account, 'POST', "/tokens/$account/refresh", $body);
    }

    /** Calls the CRM; a 401 is reported, and the call repeated once. @return array{int, string} */
    public function call(string $account, string $method, string $path, ?string $body = null): array
    {
        $token = $this->getToken($account);
        $answer = self::send($method, $token['api_url'] . $path, $token['access_token'], $body);
        if ($answer[0] === 401) {
            $token = $this->report($account, $token);
            $answer = self::send($method, $token['api_url'] . $path, $token['access_token'], $body);
        }
        return $answer;
    }

    /** @return array{int, string, int} status (0: no answer), body, Retry-After */
    public static function send(string $method, string $url, string $bearer, ?string $body = null): array
    {
        $context = stream_context_create(['http' => [
            'method' => $method,
            'header' => ["Authorization: Bearer $bearer", 'Content-Type: application/json'],
            'content' => $body ?? '',
            'ignore_errors' => true,
            'timeout' => 20,
        ]]);
        $text = @file_get_contents($url, false, $context);
        $lines = $http_response_header ?? [];
        $status = preg_match('/ (\d{3})/', $lines[0] ?? '', $found) === 1 ? (int) $found[1] : 0;
        $retryAfter = preg_match('/^retry-after: (\d+)/im', implode("\n", $lines), $found) === 1 ? (int) $found[1] : 0;
        return [$status, $text === false ? '' : $text, $retryAfter];
    }

    private function ask(string $account, string $method, string $path, ?string $body = null): array
    {
        for ($attempt = 1; ; $attempt++) {
            $started = self::now();
            [$status, $text, $retryAfter] = self::send($method, $this->url . $path, $this->key, $body);
            if ($status === 200) {
                break;
            }
            $isTransient = $status === 0 || $status === 429 || $status >= 500;
            if ($attempt === 2 || !$isTransient || $retryAfter > 5) {
                throw new TokenError($status, json_decode($text, true) ?? []);
            }
            usleep($retryAfter > 0 ? $retryAfter * 1_000_000 : 200_000);
        }
        $token = json_decode($text, true, flags: JSON_THROW_ON_ERROR);
        $claims = json_decode(base64_decode(strtr(explode('.', $token['access_token'])[1] ?? '', '-_', '+/')), true);
        $life = ($claims['exp'] ?? 0) - ($claims['iat'] ?? 0);
        $token['use_until_at'] = $started + $token['use_for'];
        $token['good_until_at'] = $started + $token['expires_in'] - min(5, $life / 10);
        if ($token['use_for'] > 0) {
            $this->cached[$account] = $token;
        }
        return $token;
    }

    /** Seconds on a clock that never jumps. */
    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}

/** Repeats a call for AMO_SECONDS and prints how often it went well. */
function run(callable $call): void
{
    $end = microtime(true) + (float) (getenv('AMO_SECONDS') ?: 5);
    $calls = 0;
    $failures = [];
    while (microtime(true) < $end) {
        $calls++;
        try {
            if (!$call()) {
                $failures[] = 'unexpected answer';
            }
        } catch (Throwable $error) {
            $failures[] = $error->getMessage();
        }
        usleep(1_000_000);
    }
    echo json_encode(['calls' => $calls, 'failures' => $failures]), "\n";
}
