/** All fuzz targets: one table. */
import type { Target } from './target.ts';
import { addressTarget } from './targets/address.ts';
import { multipartTarget, sdpTarget } from './targets/bodies.ts';
import { captureTarget } from './targets/capture.ts';
import { compareTarget } from './targets/compare.ts';
import { configTarget } from './targets/config.ts';
import { copyTarget } from './targets/copy.ts';
import { echoTarget } from './targets/echo.ts';
import { engineTarget } from './targets/engine.ts';
import { framerTarget } from './targets/framer.ts';
import { nameAddrTarget, uriTarget, viaTarget } from './targets/header-values.ts';
import { maskingTarget } from './targets/masking.ts';
import { messageTarget } from './targets/message.ts';
import { nextHopTarget } from './targets/next-hop.ts';
import { recipeTarget } from './targets/recipe.ts';
import { rewriteTarget } from './targets/rewrite.ts';
import { routerAnswerTarget } from './targets/router-answer.ts';
import { routerTalkTarget } from './targets/router-talk.ts';
import { sequenceTarget } from './targets/sequence.ts';
import { streamTarget } from './targets/stream.ts';
import { stunTarget } from './targets/stun.ts';

export const targets: readonly Target[] = [
  messageTarget,
  viaTarget,
  nameAddrTarget,
  uriTarget,
  sdpTarget,
  multipartTarget,
  framerTarget,
  streamTarget,
  addressTarget,
  rewriteTarget,
  captureTarget,
  configTarget,
  copyTarget,
  nextHopTarget,
  engineTarget,
  sequenceTarget,
  compareTarget,
  maskingTarget,
  recipeTarget,
  echoTarget,
  stunTarget,
  routerAnswerTarget,
  routerTalkTarget,
];
