/** The HTTP API as a table: the server serves what stands in it, and the OpenAPI description is made from it. */

export interface Route {
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Below `/api/v1`, as Hono writes it. */
  readonly path: string;
  readonly summary: string;
  readonly tag: 'gateway' | 'phones' | 'calls' | 'check' | 'routers' | 'settings' | 'live';
  /** JSON Schema (2020-12) of the body; every property is required unless `optional` names it. */
  readonly body?: {
    readonly properties: Readonly<Record<string, unknown>>;
    readonly optional?: readonly string[];
  };
  readonly query?: Readonly<Record<string, string>>;
  /** What comes back, in a sentence. */
  readonly answer: string;
  /** Another type than JSON. */
  readonly type?: string;
}

const mode = { enum: ['auto', 'observe', 'assist', 'off'] };

export const routes = [
  {
    id: 'overview',
    method: 'get',
    path: '/overview',
    tag: 'gateway',
    summary: 'What it does now: switch, phones, calls, rates, and what needs attention.',
    answer: 'The overview.',
  },
  {
    id: 'status',
    method: 'get',
    path: '/status',
    tag: 'gateway',
    summary: 'The same report as `sipalg status --json`.',
    answer: 'The status report.',
  },
  {
    id: 'switch',
    method: 'post',
    path: '/switch',
    tag: 'gateway',
    summary: 'Switches the whole gateway on or off; off is plain NAT at once, also after a restart.',
    body: { properties: { position: { enum: ['on', 'off'] } } },
    answer: 'The overview, once the switch has been followed.',
  },
  {
    id: 'phones',
    method: 'get',
    path: '/phones',
    tag: 'phones',
    summary: 'Phones and providers, with their registrations, mappings and switches.',
    answer: 'Phones and providers.',
  },
  {
    id: 'setPhone',
    method: 'put',
    path: '/phones/:address',
    tag: 'phones',
    summary: 'Sets the mode of one phone, in the configuration file.',
    body: { properties: { mode } },
    answer: 'Phones and providers, once the change is in force.',
  },
  {
    id: 'setProvider',
    method: 'put',
    path: '/providers/:name',
    tag: 'phones',
    summary: 'Sets the mode of one provider, by its name in the configuration or its address.',
    body: { properties: { mode } },
    answer: 'Phones and providers, once the change is in force.',
  },
  {
    id: 'calls',
    method: 'get',
    path: '/calls',
    tag: 'calls',
    summary: 'Calls, registrations and other conversations that are kept, the newest first.',
    answer: 'A list of conversations.',
  },
  {
    id: 'call',
    method: 'get',
    path: '/calls/:callId',
    tag: 'calls',
    summary: 'One conversation with its ladder: every message between phone, gateway and provider.',
    answer: 'The conversation and its messages.',
  },
  {
    id: 'message',
    method: 'get',
    path: '/messages/:id',
    tag: 'calls',
    summary: 'One message before and after, with the rule and the RFC section of each edit.',
    answer: 'The message.',
  },
  {
    id: 'capture',
    method: 'get',
    path: '/capture',
    tag: 'calls',
    summary: 'What is remembered, and what comes within so many seconds, as a capture for Wireshark.',
    query: {
      call: 'One call only, by its Call-ID.',
      seconds: 'How long to go on; left out: what is remembered.',
      reveal: '1: users, credentials and bodies in the clear.',
    },
    answer: 'A pcapng file with both sides of every message, and each edit as a comment.',
    type: 'application/x-pcapng',
  },
  {
    id: 'metrics',
    method: 'get',
    path: '/metrics',
    tag: 'gateway',
    summary:
      'Metrics for Prometheus; the same at /metrics, with the token. Counts begin when they are first asked for.',
    answer: 'The exposition format of Prometheus.',
    type: 'text/plain',
  },
  {
    id: 'check',
    method: 'get',
    path: '/check',
    tag: 'check',
    summary: 'The check that runs, or the last one.',
    answer: 'Its state, its steps, and its report once it is done.',
  },
  {
    id: 'startCheck',
    method: 'post',
    path: '/check',
    tag: 'check',
    summary: 'Starts a check from the gateway against a reflector.',
    body: {
      properties: {
        reflector: { type: 'string', description: 'HOST:PORT/TOKEN/PIN, as `sipalg reflector` prints it.' },
        mode: { enum: ['quick', 'standard'] },
      },
      optional: ['mode'],
    },
    answer: 'The state of the check that has begun.',
  },
  {
    id: 'stopCheck',
    method: 'delete',
    path: '/check',
    tag: 'check',
    summary: 'Ends the check that runs.',
    answer: 'The state.',
  },
  {
    id: 'history',
    method: 'get',
    path: '/check/history',
    tag: 'check',
    summary: 'What earlier checks of the console and of `sipalg monitor` have said.',
    answer: 'A list of runs, the newest first.',
  },
  {
    id: 'identify',
    method: 'post',
    path: '/identify',
    tag: 'check',
    summary: 'Asks the next router what it is; no password is sent.',
    body: {
      properties: {
        host: { type: 'string', description: 'Its address; the default gateway where it is left out.' },
      },
      optional: ['host'],
    },
    answer: 'What it says, and the recipes that fit.',
  },
  {
    id: 'routers',
    method: 'get',
    path: '/routers',
    tag: 'routers',
    summary: 'The catalogue of router recipes, each with its steps.',
    answer: 'A list of recipes.',
  },
  {
    id: 'settings',
    method: 'get',
    path: '/settings',
    tag: 'settings',
    summary: 'Every setting: what is in force, where it comes from, and what it means.',
    answer: 'The settings and the file that they are written to.',
  },
  {
    id: 'setSetting',
    method: 'put',
    path: '/settings/:key',
    tag: 'settings',
    summary: 'Writes one setting to the file, validated as the file is, and puts it into force.',
    body: {
      properties: {
        value: {
          type: ['string', 'number', 'boolean', 'array'],
          description: 'As it would stand in the file.',
        },
      },
    },
    answer: 'The settings.',
  },
  {
    id: 'live',
    method: 'get',
    path: '/live',
    tag: 'live',
    summary:
      'Events as they happen (server-sent events): overview every second, message for each message, check for each step of a check.',
    answer: 'A stream of events.',
    type: 'text/event-stream',
  },
  {
    id: 'openapi',
    method: 'get',
    path: '/openapi.json',
    tag: 'gateway',
    summary: 'This description.',
    answer: 'The OpenAPI description.',
  },
] as const satisfies readonly Route[];

/** Those that are answered with JSON. */
export type AnsweredId = Exclude<(typeof routes)[number]['id'], 'live' | 'capture' | 'metrics'>;

/** OpenAPI 3.1. */
export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes as readonly Route[]) {
    const path = `/api/v1${route.path.replaceAll(/:(\w+)/g, '{$1}')}`;
    paths[path] ??= {};
    paths[path][route.method] = {
      operationId: route.id,
      tags: [route.tag],
      summary: route.summary,
      parameters: [
        ...[...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
          name,
          in: 'path',
          required: true,
          schema: { type: 'string' },
        })),
        ...Object.entries(route.query ?? {}).map(([name, description]) => ({
          name,
          in: 'query',
          required: false,
          description,
          schema: { type: 'string' },
        })),
      ],
      ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body) }),
      responses: {
        200: { description: route.answer, content: { [route.type ?? 'application/json']: {} } },
        ...(route.id === 'openapi' ? {} : { 401: { $ref: '#/components/responses/Refused' } }),
        ...(route.body === undefined
          ? {}
          : {
              400: { $ref: '#/components/responses/Refused' },
              422: { $ref: '#/components/responses/Refused' },
            }),
        ...(route.path.includes(':') ? { 404: { $ref: '#/components/responses/Refused' } } : {}),
        ...(route.id === 'live' || route.id === 'capture'
          ? { 503: { $ref: '#/components/responses/Refused' } }
          : {}),
      },
      ...(route.id === 'openapi' ? { security: [] } : {}),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'sipalg',
      version,
      description:
        'What a running gateway does, and its switches. `sipalg console` prints the address and the token. Times are milliseconds since 1970.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Refusal: {
          type: 'object',
          required: ['error'],
          properties: {
            error: {
              type: 'object',
              required: ['code', 'what', 'remedy'],
              properties: {
                code: { type: 'string' },
                what: { type: 'string' },
                remedy: { type: 'string' },
                problems: { type: 'array', items: { type: 'object' } },
              },
            },
          },
        },
      },
      responses: {
        Refused: {
          description: 'What is wrong, and what to do.',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Refusal' } } },
        },
      },
    },
  };
}

function bodyOf({ properties, optional = [] }: NonNullable<Route['body']>): object {
  return {
    required: true,
    content: {
      'application/json': {
        schema: {
          type: 'object',
          additionalProperties: false,
          required: Object.keys(properties).filter((name) => !optional.includes(name)),
          properties,
        },
      },
    },
  };
}
