import { channel } from 'node:diagnostics_channel'

/** Between which lines of an onboarding the process is, in their order. */
export const ONBOARDING_STEPS = [
  'spooled',
  'received',
  'presented',
  'answered',
  'kept',
  'in_inbox',
  'confirmed',
  'stored',
] as const
export type OnboardingStep = (typeof ONBOARDING_STEPS)[number]

const steps = channel('amo-token-broker:onboarding')

/** Tells whoever listens on the diagnostics channel how far an onboarding has come: tests kill the process there. */
export function atOnboardingStep(step: OnboardingStep): void {
  if (steps.hasSubscribers) steps.publish({ step })
}
