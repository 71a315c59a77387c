import type { Texts } from './texts.ts'

export const EN: Texts = {
  button: 'Open the console',
  causes: {
    revoked:
      'Somebody switched the integration off in the account, or another program used its access.',
    expired: 'Nobody used the access for three months, so it expired.',
    gone: 'The account no longer exists at its address.',
    lost: 'The answer of amoCRM or Kommo was lost on its way.',
  },
  authorizeAgain:
    'An administrator of the account must allow access again: create a link for the account in the console, and send it to them.',
  subjects: {
    'account.connected': [
      'Account connected',
      'The account {account} is connected through the integration {integration}. Services can use it now. You need not do anything.',
    ],
    'account.pending': [
      'An account awaits approval',
      'The account {account} installed the integration {integration} without an invitation. No service has access until you approve the account in the console. If you do not know it, remove it there.',
    ],
    'account.reauth_required': [
      'Access to an account was lost',
      'Services can no longer work with the account {account} (integration {integration}).',
    ],
    'account.recovered': [
      'An account works again',
      'Services can work with the account {account} (integration {integration}) again. You need not do anything.',
    ],
    'account.disconnected': [
      'An account was disconnected',
      'The integration {integration} was removed in the account {account}. Services no longer have access. If that was a mistake, connect the account again with a link from the console.',
    ],
    'account.ending_soon': [
      'Access to an account ends soon',
      'Days until services lose access to the account {account} (integration {integration}): {days}. To prevent that, let an administrator of the account allow access again with a link from the console.',
    ],
    'account.removed': [
      'An account was removed',
      'The account {account} (integration {integration}) was removed from the token service. Services no longer have access.',
    ],
    'integration.halted': [
      'An integration was stopped',
      'Many accounts of the integration {integration} lost access within a few minutes. To prevent more damage, access is not renewed for any of its accounts. Find the cause in the console, then resume the integration.',
    ],
    'integration.resumed': [
      'An integration works again',
      'Access is renewed again for the accounts of the integration {integration}. You need not do anything.',
    ],
    'integration.client_rejected': [
      'The settings of an integration are wrong',
      'amoCRM or Kommo no longer accepts the settings of the integration {integration}, such as its secret key. Access to its accounts cannot be renewed, and ends within a day. Correct the settings in the console.',
    ],
    'breaker.opened': [
      'amoCRM or Kommo does not work',
      'Requests to {breaker} fail, so no access is renewed for the moment. The token service tries again by itself. Services go on working with the access that they have.',
    ],
    'breaker.closed': [
      'amoCRM or Kommo works again',
      'Requests to {breaker} succeed again. You need not do anything.',
    ],
    'broker.degraded': [
      'The token service has a problem',
      'Something that the token service needs does not work: {part}. The console shows the effect and what to do.',
    ],
    'broker.recovered': [
      'The token service works normally again',
      'This works again: {part}. You need not do anything.',
    ],
    'onboarding.failed': [
      'An account could not be connected',
      'An attempt to connect an account to the integration {integration} failed. The console shows the reason and what to do.',
    ],
    'client_key.ending_soon': [
      'The key of a service ends soon',
      'Days until the key {key} of the service {client} ends: {days}. Create a new key in the console, and give it to the service.',
    ],
    'endpoint.disabled': [
      'A receiver of notifications was switched off',
      'Messages to {endpoint} are not sent any more: they could not be delivered, or somebody switched it off. Correct it in the console, and switch it on again.',
    ],
    'endpoint.test': [
      'Test message',
      'Notifications of the token service arrive here. They are sent to the receiver {endpoint}.',
    ],
    paused: [
      'An integration was paused',
      'Somebody paused the integration {integration}. Access to its accounts is not renewed until the integration is resumed in the console.',
    ],
    group: [
      'Access to many accounts was lost',
      'Accounts of the integration {integration} that services can no longer work with: {count}. They probably have the same cause. The console lists them, and makes the links with which their administrators allow access again.',
    ],
    flapping: [
      'An account keeps losing access',
      'Access to the account {account} (integration {integration}) was lost and came back several times. Look for another program that uses the same integration, and stop it.',
    ],
  },
}
