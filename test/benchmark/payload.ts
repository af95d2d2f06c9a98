export interface OrderPlaced {
  readonly id: number;
  readonly customer: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number; readonly price: number }[];
}

/** 256 bytes as JSON, give or take the digits of the number. */
export function order(id: number): OrderPlaced {
  return {
    id,
    customer: 'c0ffee00-1234-4abc-9def-0123456789ab',
    lines: [
      { sku: 'keyboard-iso-de', quantity: 1, price: 79.9 },
      { sku: 'mouse-wireless', quantity: 2, price: 24.5 },
      { sku: 'cable-usb-c-2m', quantity: 4, price: 9.95 },
      { sku: 'hub', quantity: 1, price: 39 },
    ],
  };
}
