import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core';
import type { RefObject } from 'preact';
import { useLayoutEffect, useReducer, useRef } from 'preact/hooks';

export type VirtualOptions = {
  scroller: RefObject<HTMLElement | null>;
  count: number;
  sizeOf: (index: number) => number;
  keyOf: (index: number) => string | number;
};

/** Which rows of a long list are to be drawn. */
export function useVirtual({
  scroller,
  count,
  sizeOf,
  keyOf,
}: VirtualOptions): Virtualizer<HTMLElement, Element> {
  const [, draw] = useReducer((turn: number) => turn + 1, 0);
  const options = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: sizeOf,
    getItemKey: keyOf,
    overscan: 8,
    // Below the head of the table, which stays.
    scrollPaddingStart: 32,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => draw(undefined),
  };
  const held = useRef<Virtualizer<HTMLElement, Element>>(undefined);
  held.current ??= new Virtualizer<HTMLElement, Element>(options);
  const virtual = held.current;
  virtual.setOptions(options);
  useLayoutEffect(() => virtual._didMount(), [virtual]);
  useLayoutEffect(() => virtual._willUpdate());
  return virtual;
}
