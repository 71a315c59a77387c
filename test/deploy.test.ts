import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { settings } from '../src/config/settings.ts'
import { buildKustomization, buildWithKubectl, type Manifest } from './support/kustomize.ts'
import { validateManifests } from './support/manifest-schemas.ts'
import { codeSpansOf, rowsOf, sectionOf } from './support/markdown.ts'

const ROOT = join(import.meta.dirname, '..')
const OVERLAYS = ['small', 'production'] as const
const folderOf = (overlay: string) => join(ROOT, 'deploy/kubernetes/overlays', overlay)
const MAINTENANCE = join(ROOT, 'deploy/kubernetes/maintenance')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

function find(manifests: Manifest[], kind: string, name = 'amo-broker'): Manifest {
  const found = manifests.find((each) => each.kind === kind && each.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

const byName = (manifests: Manifest[]) =>
  manifests.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)))
const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`

for (const overlay of OVERLAYS) {
  t.test(`kubernetes, ${overlay}: valid for the API schemas, no unknown field`, async (t) => {
    const manifests = buildKustomization(folderOf(overlay))
    t.same(await validateManifests(manifests), [])
    t.equal(new Set(manifests.map(nameOf)).size, manifests.length, 'no name twice')
  })

  t.test(`kubernetes, ${overlay}: kubectl builds the same`, async (t) => {
    const built = buildWithKubectl(folderOf(overlay))
    if (built === undefined) return t.comment('no kubectl with kustomize 5 or newer: not compared')
    t.same(byName(built), byName(buildKustomization(folderOf(overlay))))
  })
}

t.test('kubernetes, maintenance: valid, and the same as what kubectl builds', async (t) => {
  const manifests = buildKustomization(MAINTENANCE)
  t.same(await validateManifests(manifests), [])
  const built = buildWithKubectl(MAINTENANCE)
  if (built !== undefined) t.same(built, manifests)
})

t.test('kubernetes: the validation finds a wrong type and a misspelt field', async (t) => {
  const wrong = buildKustomization(folderOf('production'))
  // In another manifest, because TypeScript names one problem of each.
  find(wrong, 'PodDisruptionBudget').spec.maxUnavailabel = 1
  find(wrong, 'StatefulSet').spec.template.spec.containers[0].securityContext.runAsNonRoot = 'yes'
  const problems = (await validateManifests(wrong)).join('\n')
  t.match(problems, /maxUnavailabel\W+ does not exist/)
  t.match(problems, /runAsNonRoot must be boolean/)
})

t.test('kubernetes: every pod runs without root, rights or a writable image', async (t) => {
  for (const overlay of OVERLAYS) {
    const manifests = buildKustomization(folderOf(overlay))
    const pods = manifests.flatMap(({ spec }) => spec?.template?.spec ?? [])
    t.equal(pods.length, 2)
    const [maintenance] = buildKustomization(MAINTENANCE)
    for (const pod of [...pods, maintenance?.spec]) {
      t.match(pod, {
        automountServiceAccountToken: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      })
      for (const { image, securityContext, resources } of pod.containers) {
        t.match(image, /:\d+\.\d+\.\d+$/, 'a version, not "latest"')
        t.same(securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        t.ok(resources.limits.memory)
      }
    }
  }
})

t.test('kubernetes: a replica has time to drain, and keeps its disk', async (t) => {
  const manifests = buildKustomization(folderOf('production'))
  const { spec } = find(manifests, 'StatefulSet')
  const { template } = spec
  const [, closeMs = ''] = /CLOSE_LIMIT_MS = ([\d_]+)/.exec(read('src/http/run-broker.ts')) ?? []
  const drainMs = Number(find(manifests, 'ConfigMap').data.DRAIN_MS)
  const neededMs = drainMs + Number(closeMs.replaceAll('_', ''))
  t.ok(neededMs > 60_000)
  t.ok(template.spec.terminationGracePeriodSeconds * 1000 >= neededMs + 10_000)
  const [{ readinessProbe, startupProbe, livenessProbe, volumeMounts }] = template.spec.containers
  t.ok(drainMs >= 3_000 * readinessProbe.periodSeconds * readinessProbe.failureThreshold)
  for (const probe of [readinessProbe, startupProbe, livenessProbe]) {
    t.equal(probe.httpGet.port, 'public', 'no client certificate needed')
  }
  t.equal(readinessProbe.httpGet.path, '/health/ready')
  t.equal(livenessProbe.httpGet.path, '/health/live')
  t.equal(spec.podManagementPolicy, 'Parallel')
  t.same(spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' })
  const [{ metadata }] = spec.volumeClaimTemplates
  t.ok(
    volumeMounts.some(
      (each: Manifest) => each.name === metadata.name && each.mountPath === '/data',
    ),
  )
})

t.test('kubernetes: the ingress reaches the public listener only', async (t) => {
  for (const overlay of OVERLAYS) {
    const manifests = buildKustomization(folderOf(overlay))
    const [{ http }] = find(manifests, 'Ingress').spec.rules
    const services = http.paths.map(({ backend }: Manifest) => backend.service.name)
    t.same([...new Set(services)], ['amo-broker-public'])
    const documented = rowsOf(sectionOf(read('docs/deployment.md'), 'Public paths'))
      .flatMap(([path = '']) => codeSpansOf(path))
      .filter((path) => /^\/(connect|onboarding|hooks)/.test(path))
    const routed = http.paths.map(({ path }: Manifest) => path)
    t.ok(documented.length >= 5, 'documented')
    for (const path of documented)
      t.ok(
        routed.some((each: string) => path.startsWith(each)),
        path,
      )
    const port = find(manifests, 'Service', 'amo-broker-public').spec.ports[0].targetPort
    t.equal(port, 'public')
  }
})

t.test('kubernetes: selectors find the pods, and the autoscaler finds its set', async (t) => {
  const manifests = buildKustomization(folderOf('production'))
  const { spec } = find(manifests, 'StatefulSet')
  const { labels } = spec.template.metadata
  const selectors = [
    spec.selector.matchLabels,
    ...spec.template.spec.topologySpreadConstraints.map(
      ({ labelSelector }: Manifest) => labelSelector.matchLabels,
    ),
    find(manifests, 'PodDisruptionBudget').spec.selector.matchLabels,
    find(manifests, 'NetworkPolicy').spec.podSelector.matchLabels,
    find(manifests, 'NetworkPolicy', 'amo-broker-monitoring').spec.podSelector.matchLabels,
    find(manifests, 'Service').spec.selector,
    find(manifests, 'Service', 'amo-broker-public').spec.selector,
  ]
  for (const selector of selectors) t.match(labels, selector)
  const monitored = find(manifests, 'ServiceMonitor').spec
  t.match(find(manifests, 'Service').metadata.labels, monitored.selector.matchLabels)
  t.equal(find(manifests, 'Service').spec.ports[0].name, monitored.endpoints[0].port)
  t.match(find(manifests, 'HorizontalPodAutoscaler').spec.scaleTargetRef, {
    kind: 'StatefulSet',
    name: spec.serviceName,
  })
  t.equal(spec.replicas, undefined, 'the autoscaler decides')
  const known = Object.keys(settings.properties)
  for (const name of Object.keys(find(manifests, 'ConfigMap').data))
    t.ok(known.includes(name), name)
})

t.test('docker-compose.yml: nothing starts without keys, and the demo needs none', async (t) => {
  const { services } = parse(read('docker-compose.yml'), { merge: true })
  const needsKeys = ['broker', 'migrate']
  for (const [name, service] of Object.entries<Manifest>(services)) {
    const isOwnProfile = name === 'demo' || name === 'keygen'
    t.same(service.profiles, isOwnProfile ? [name] : [''], `${name}: its profile`)
    const [file = ''] = service.env_file ?? []
    t.equal(file.startsWith('No keys in .env.'), needsKeys.includes(name), name)
    // With all three the path leads to a file that exists; a slash would add a folder to it.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: compose replaces it
    const keys = '${ENCRYPTION_KEYS:+${OPERATOR_KEY:+${DEPLOYMENT_ID:+/../.env.example}}}'
    if (file !== '') t.match(file.split('${')[0], /^[^/]{20,250}$/)
    if (file !== '') t.ok(file.endsWith(keys))
    // A setting with a default is none that is needed.
    const withoutDefault = /\$\{\w+(:\?[^}]*)?\}/
    if (isOwnProfile) t.notMatch(JSON.stringify(service), withoutDefault, `${name} needs none`)
  }
})
