/** Messages and audio packets over the last hour. The same in words stands above it, for those who do not see it. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Sample } from '../src/console/rates.ts';
import { minute } from './words.ts';

const HEIGHT = 150;
const LEAST_S = 600;

export function Chart({ samples }: { readonly samples: readonly Sample[] }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = seriesOf(samples);

  useEffect(() => {
    const element = place.current!;
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element), seriesOf([]), element);
    };
    draw();
    const resize = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resize.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    return () => {
      resize.disconnect();
      dark.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [samples.at(-1)?.at]);

  const last = samples.at(-1);
  return (
    <>
      <div class="legend">
        <span class="key messages">messages a minute</span>
        <span class="key packets">audio packets a second</span>
      </div>
      <div
        ref={place}
        class="chart"
        role="img"
        aria-label={`Messages and audio packets over the last hour; ${last === undefined ? 'nothing yet' : `${last.messages} messages since the start`}.`}
      />
    </>
  );
}

function seriesOf(samples: readonly Sample[]): uPlot.AlignedData {
  const times: number[] = [];
  const messages: number[] = [];
  const packets: number[] = [];
  for (let i = 1; i < samples.length; i++) {
    const [before, here] = [samples[i - 1]!, samples[i]!];
    const seconds = Math.max(0.001, (here.at - before.at) / 1000);
    times.push(here.at / 1000);
    // After a restart of the counters there is nothing to subtract from.
    messages.push((Math.max(0, here.messages - before.messages) / seconds) * 60);
    packets.push(here.packets / seconds);
  }
  return [times, messages, packets];
}

function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: `12px ${style.fontFamily}`,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { range: lastWhile }, messages: { range: fromZero }, packets: { range: fromZero } },
    axes: [
      { ...axis, space: 70, values: (_plot, times) => times.map((time) => minute(time * 1000)) },
      { ...axis, scale: 'messages', size: 44 },
      { ...axis, scale: 'packets', side: 1, size: 44, grid: { show: false } },
    ],
    series: [
      {},
      {
        scale: 'messages',
        stroke: colour('--accent'),
        width: 2,
        fill: colour('--accent-soft'),
        points: { show: false },
      },
      { scale: 'packets', stroke: colour('--second'), width: 2, points: { show: false } },
    ],
  };
}

/** Ten minutes at least, so that the first calls are no straight line. */
function lastWhile(_plot: uPlot, low: number, high: number): [number, number] {
  return [Math.min(low, high - LEAST_S), high];
}

function fromZero(_plot: uPlot, _low: number, high: number): [number, number] {
  return [0, Math.max(10, high * 1.15)];
}
