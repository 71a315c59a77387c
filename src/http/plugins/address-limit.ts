import fp from 'fastify-plugin'
import { isOneTimeCall } from '../onboarding/server-calls.ts'
import { createAddressLimit, requireWithin, type SharedCount } from './rate-limit.ts'

/**
 * A person needs a dozen. The provider's servers send one hook or callback per account, from few
 * addresses.
 */
const MAX_REQUESTS = 600

/**
 * Limits the requests per minute and address of all routes that are registered after it, except the
 * calls of the provider's servers. Those are not repeated, so they are stored before a limit
 * refuses them, and somebody who can write to Redis must not be able to turn them away: their
 * routes limit what nothing proves, each by itself.
 */
export const addressLimitPlugin = fp<{ shared: SharedCount | null }>(
  async (app, { shared }) => {
    const limit = await createAddressLimit(app, MAX_REQUESTS, shared)
    app.addHook('onRequest', async (request) => {
      if (isOneTimeCall(request)) return
      requireWithin(await limit(request), 'Too many requests from this address.')
    })
  },
  { name: 'address-limit', fastify: '5.x' },
)
