<?php

// Receives events of the broker. Needs PHP 8 and no packages.
//
//   WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:8080 receiver.php

const TOLERANCE_SECONDS = 300;

/** Verifies the signature over `id.timestamp.body` (Standard Webhooks). */
function isAuthentic(string $secret, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_SECONDS) {
        return false;
    }
    $key = base64_decode(substr($secret, strlen('whsec_')));
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    // There are two signatures while the secret is rotated.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
        if (hash_equals($expected, $given)) {
            return true;
        }
    }
    return false;
}

$body = file_get_contents('php://input');
if (!isAuthentic(getenv('WEBHOOK_SECRET'), $body)) {
    http_response_code(401);
    exit;
}
// A message can arrive twice: remember HTTP_WEBHOOK_ID in your database.
$event = json_decode($body, true);
$account = $event['data']['account_id'] ?? 'null';
$sequence = $event['data']['sequence'] ?? 'null';
file_put_contents('php://stderr', "{$event['type']} account=$account sequence=$sequence\n");
http_response_code(204);
