import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { redirectWith } from '../flash.ts'
import { sendPage } from '../page.ts'
import { isPoll } from '../session-guard.ts'
import { doctorTitle, doctorView } from './doctor-view.ts'

/** Shows the findings of the doctor. */
export const doctorPages: FastifyPluginAsyncTypebox<Broker> = async (app, { doctor }) => {
  app.get('/console/doctor', {
    schema: { hide: true, operationId: 'showDoctor' },
    handler: (request, reply) => {
      if (!isPoll(request)) doctor.start({ onlyIfOld: true })
      const mayStart = request.caller?.role === 'operator'
      return sendPage(request, reply, {
        title: doctorTitle(doctor.latest),
        section: 'doctor',
        main: doctorView(doctor.latest, mayStart),
        isLive: true,
      })
    },
  })

  app.post('/console/doctor', {
    schema: { hide: true, operationId: 'startDoctor' },
    handler: (_request, reply) => {
      doctor.start()
      return redirectWith(reply, '/console/doctor', 'The examination has started.')
    },
  })
}
