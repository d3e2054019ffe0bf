/** What a running gateway shows of itself, and lets be changed, from within its own process: the console is made of it. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import type { Problem } from '../config/problem.ts';
import type { Recorder } from '../observe/recorder.ts';
import type { SwitchPosition } from '../state/switch.ts';
import type { Activity, StatusReport } from './status-report.ts';

export interface GatewayView {
  /** In force at this moment. */
  config(): GatewayConfig;
  /** Made anew with every call; nothing in it is hidden. */
  report(): StatusReport;
  /** Of the report, what it takes no look at every phone for. */
  activity(): Activity;
  readonly recorder: Recorder;
  /** In the exposition format of Prometheus (text, version 0.0.4). Counts begin when it is first asked for. */
  metricsText(): Promise<string>;
  /** Followed when it resolves. */
  switchTo(position: SwitchPosition): Promise<void>;
  /** Reads the configuration again; what is wrong with it, if anything: then the old one stays in force. */
  reload(): Promise<readonly Problem[]>;
}

/** Something that is opened beside the gateway and shows it. */
export interface Beside {
  /** Where people find it, for the ready line; undefined where it could not be opened. */
  readonly address: string | undefined;
  close(): Promise<void>;
}
