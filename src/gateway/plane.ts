/** Which data plane carries the engine out: the kernel's, or ordinary sockets. Loaded only where it is used. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import type { DataPlane, PlaneHandler } from '../core/alg/io.ts';

export interface OpenPlane {
  readonly plane: DataPlane;
  /** What a person or a script wants to know of it. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export async function openPlane(config: GatewayConfig, handler: PlaneHandler): Promise<OpenPlane> {
  if (config.mode === 'explicit') {
    const { createExplicitPlane } = await import('./explicit/plane.ts');
    const plane = await createExplicitPlane(
      { listen: config.listen, ...(config.advertise === undefined ? {} : { advertise: config.advertise }) },
      handler,
    );
    return { plane, facts: { listen: plane.addresses } };
  }
  throw new Error('transparent mode is not wired yet');
}
