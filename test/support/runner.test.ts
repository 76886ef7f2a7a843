import { describe, expect, it } from 'vitest'
import { parseCommandFile } from './runner.ts'
import { workflowCommands } from './workflow-commands.ts'

const names = (text: string) => workflowCommands(text).map(c => c.name)

describe('the model of the runner', () => {
  it('takes :: commands at the start of a line only', () => {
    expect(names('::error title=x::bad\n  ::notice::fine\nweb1 ::error::text\n::unknown::x\n::error')).toEqual([
      'error',
      'notice',
    ])
  })

  it('takes ##[ commands anywhere in a line', () => {
    expect(workflowCommands('[web1] ##[set-output name=result]success')).toEqual([
      {
        name: 'set-output',
        properties: 'name=result',
        data: 'success',
        line: '[web1] ##[set-output name=result]success',
      },
    ])
    expect(names('##\\[error]x ##[nonsense]')).toEqual([])
  })

  it('starts a line after a carriage return alone', () => {
    expect(names('progress 10%\r::add-mask::a')).toEqual(['add-mask'])
  })

  it('takes nothing between stop-commands and its token', () => {
    expect(names('::stop-commands::tok\n::error::x\n##[error]x\n::tok::\n::error::y')).toEqual([
      'stop-commands',
      'error',
    ])
  })

  it('reads command files with and without here-documents, and refuses one that is not closed', () => {
    expect(parseCommandFile('a=1\nb<<EOF_x\nline 1\na=2\nEOF_x\nc=\n')).toEqual({ a: '1', b: 'line 1\na=2', c: '' })
    expect(() => parseCommandFile('b<<EOF\nx\n')).toThrow('closes')
  })
})
