/** The label of all integrations that buttons made: each works in one account only. */
const EXTERNAL = 'external'

interface Labelled {
  name: string
  external: boolean
}

/**
 * The values of the label `integration` of metrics. They are bounded: integrations that buttons
 * made share one.
 */
export interface IntegrationLabels {
  /** Returns the label of an integration. One that is not known any more keeps its name. */
  of(name: string): string
  /** Returns each label once. */
  all(): string[]
}

/** Returns the label of an integration. */
export function labelOf({ name, external }: Labelled): string {
  return external ? EXTERNAL : name
}

/** Returns the labels of the integrations that exist when they are asked for. */
export function integrationLabels(integrations: {
  all(): Labelled[]
  find(name: string): Labelled | undefined
}): IntegrationLabels {
  return {
    of(name) {
      const known = integrations.find(name)
      return known === undefined ? name : labelOf(known)
    },
    all: () => [...new Set(integrations.all().map(labelOf))],
  }
}
