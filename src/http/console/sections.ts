/** The parts of the console, in the order of the navigation. Monitors see some of them. */
export const SECTIONS = {
  home: { path: '/console', title: 'Needs a person', isForMonitors: true },
  accounts: { path: '/console/accounts', title: 'Accounts', isForMonitors: true },
  onboarding: { path: '/console/onboarding', title: 'Onboarding', isForMonitors: false },
  integrations: { path: '/console/integrations', title: 'Integrations', isForMonitors: true },
  clients: { path: '/console/clients', title: 'Clients', isForMonitors: false },
  endpoints: { path: '/console/endpoints', title: 'Endpoints', isForMonitors: false },
  audit: { path: '/console/audit', title: 'Audit', isForMonitors: false },
  doctor: { path: '/console/doctor', title: 'Doctor', isForMonitors: true },
} as const

export type Section = keyof typeof SECTIONS
