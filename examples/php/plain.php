<?php

declare(strict_types=1);

require __DIR__ . '/Broker.php';

$broker = new Broker(getenv('BROKER_URL'), getenv('BROKER_KEY'));

run(function () use ($broker): bool {
    [$status, $text] = $broker->call('demo', 'GET', '/api/v4/account');
    return $status === 200 && json_decode($text, true)['subdomain'] === 'demo';
});
