import { Counter, type Registry } from '@prometheus-io/client'
import { ONBOARDING_ENDS, type OnboardingEnd } from '../onboarding/outcomes.ts'

/** Registers the counter of onboardings. Returns the function that counts one. */
export function createOnboardingCounter(registry: Registry): (end: OnboardingEnd) => void {
  const counter = new Counter({
    name: 'amo_onboardings_total',
    help: 'Onboardings by outcome, refused callbacks included; sum over replicas',
    labelNames: ['outcome'] as const,
    registers: [registry],
  })
  for (const outcome of ONBOARDING_ENDS) counter.inc({ outcome }, 0)
  return (outcome) => counter.inc({ outcome })
}
