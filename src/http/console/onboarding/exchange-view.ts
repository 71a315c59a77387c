import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import type { Exchange } from '../../../onboarding/exchanges.ts'
import type { OnboardingRow } from '../../../onboarding/list-onboardings.ts'
import { isFailure } from '../../onboarding/outcome-texts.ts'
import { formProblem, secretField, selectField, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { facts } from '../parts.ts'
import { timeTag } from '../times.ts'
import { integrationOptions, needsIntegration } from './link-form.ts'
import { diagnosis, ORIGINS, outcomeBadge, outcomeText } from './outcome-parts.ts'
import { ONBOARDING_PATH } from './overview-view.ts'

interface View {
  title: string
  main: Html
}

const BACK = html`<a class="button" href="${ONBOARDING_PATH}">Onboarding</a>`

/** The form for a code that somebody has copied. */
export function codeView(form: Form, integrations: Integration[]): View {
  const main = html`<p>A code works once and lives 20 minutes. It is presented to the provider once. A connect link needs no code to be copied.</p>
<form method="post" action="${ONBOARDING_PATH}/code">${formProblem(form)}
${integrationField(form, integrations)}
${secretField(form, {
  name: 'code',
  label: 'Code, or the whole address that the provider led back to',
  isRequired: true,
})}
${textField(form, {
  name: 'domain',
  label: 'Domain of the account',
  hint: 'Not needed with the whole address.',
  placeholder: 'demo.kommo.com',
})}
<div class="acts"><button class="primary">Exchange the code</button>${BACK}</div></form>`
  return { title: 'Exchange a code', main: integrations.length === 0 ? needsIntegration() : main }
}

/** The form for a login with its API key. */
export function apiKeyView(form: Form, integrations: Integration[]): View {
  const main = html`<p>The integration must be installed in the account, and the key must belong to the login. The provider accepts one exchange in five minutes, and its server brings the code to the redirect URI.</p>
<form method="post" action="${ONBOARDING_PATH}/api-key">${formProblem(form)}
${integrationField(form, integrations)}
${textField(form, {
  name: 'domain',
  label: 'Domain of the account',
  placeholder: 'demo.amocrm.ru',
  isRequired: true,
})}
${textField(form, {
  name: 'login',
  label: 'E-mail that the user logs in with',
  type: 'email',
  isRequired: true,
})}
${secretField(form, {
  name: 'api_key',
  label: 'API key',
  hint: 'It is used once and not stored.',
  isRequired: true,
})}
<div class="acts"><button class="primary">Exchange the key</button>${BACK}</div></form>`
  return {
    title: 'Exchange an API key',
    main: integrations.length === 0 ? needsIntegration() : main,
  }
}

/** How a callback, an install or a code ends. */
export function onboardingView(row: OnboardingRow): View {
  const { outcome, domain, referer, accountId, integration, receivedAt, finishedAt } = row
  const name = domain ?? referer ?? 'The account'
  const isConnected = accountId !== null && (outcome === 'connected' || outcome === 'pending')
  return {
    title: `${name} ${endOf(outcome)}`,
    main: html`<p>${outcomeBadge(outcome)} ${outcomeText(row)}</p>
${facts([
  ['Integration', integration],
  ['Host', referer ?? 'not named'],
  ['By', ORIGINS[row.origin]],
  ['Arrived', timeTag(receivedAt)],
  ['Ended', finishedAt === null ? 'not yet' : timeTag(finishedAt)],
  ['Presented to the provider', row.presentedAt === null ? 'no' : timeTag(row.presentedAt)],
])}
<div class="acts">${
      isConnected &&
      html`<a class="button primary" href="/console/accounts/${integration}/${accountId}">The account</a>`
    }
${isFailure(outcome) && html`<a class="button primary" href="${ONBOARDING_PATH}">Make a new link</a>`}
${row.linkId !== null && html`<a class="button" href="${ONBOARDING_PATH}/links/${row.linkId}">Its link</a>`}${BACK}</div>`,
  }
}

/** How the exchange of an API key goes on after the provider took the key. */
export function exchangeView(exchange: Exchange): View {
  const { outcome, inboxId, accountId, integration, domain, createdAt } = exchange
  const isWaiting = outcome === null && inboxId === null
  const sentence = isWaiting
    ? html`The provider has taken the key. Its server brings the code within 20 minutes, mostly at once.`
    : outcome === null || outcome === 'connected'
      ? outcomeText({ outcome, accountId })
      : diagnosis(outcome)
  return {
    title: isWaiting ? `The code for ${domain} is awaited` : `${domain} ${endOf(outcome)}`,
    main: html`<p>${outcomeBadge(outcome)} ${sentence}</p>
${facts([
  ['Integration', integration],
  ['Asked', timeTag(createdAt)],
])}
<div class="acts">${
      outcome === 'connected' &&
      html`<a class="button primary" href="/console/accounts/${integration}/${accountId}">The account</a>`
    }
${inboxId !== null && html`<a class="button" href="${ONBOARDING_PATH}/callbacks/${inboxId}">What came in</a>`}${BACK}</div>`,
  }
}

function endOf(outcome: string | null): string {
  if (outcome === null) return 'is being connected'
  if (outcome === 'connected') return 'is connected'
  if (outcome === 'pending') return 'waits for approval'
  return outcome === 'superseded' ? 'was connected meanwhile' : 'was not connected'
}

function integrationField(form: Form, integrations: Integration[]): Html {
  const options = integrationOptions(integrations)
  return selectField(form, { name: 'integration', label: 'Integration', options, isRequired: true })
}
