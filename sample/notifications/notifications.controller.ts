import { Body, Controller, Get, HttpCode, Param, ParseArrayPipe, ParseEnumPipe, Post } from '@nestjs/common';
import { type DeadLetter, DeadLetterService, EventBusService } from '../../lib/index.js';
import { MAILER_GROUP } from '../shop.config.js';

enum MailerAction {
  Break = 'break',
  Repair = 'repair',
}

/** What an operator needs when mails have failed. */
@Controller()
export class NotificationsController {
  constructor(
    private readonly deadLetters: DeadLetterService,
    private readonly bus: EventBusService,
  ) {}

  @Get('dead-letters')
  async list(): Promise<readonly Omit<DeadLetter, 'body'>[]> {
    const letters = await this.deadLetters.list(MAILER_GROUP, { limit: 1_000 });
    return letters.map(({ body: _bytes, ...letter }) => letter);
  }

  /** All of them, or those of `{ "ids": […] }`. They go to the mailer only; to everybody else nothing happened. */
  @Post('dead-letters/replay')
  @HttpCode(200)
  async replay(
    @Body('ids', new ParseArrayPipe({ items: String, optional: true })) ids?: string[],
  ): Promise<{ readonly replayed: number }> {
    return { replayed: await this.deadLetters.replay(MAILER_GROUP, ids ? { ids } : {}) };
  }

  @Post('mailer/:action')
  @HttpCode(204)
  async switch(@Param('action', new ParseEnumPipe(MailerAction)) action: MailerAction): Promise<void> {
    // `broadcast`, not `publish`: whoever listens, every running instance of it is meant.
    await this.bus.broadcast('mailer.switched', { isBroken: action === MailerAction.Break });
  }
}
