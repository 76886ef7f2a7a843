/** moto imitates AWS's APIs in Python: the tests of the AWS providers hold its answers' shapes against what is read of them. */
import { directoryOf, installTool } from './pip.mjs'

/** For PYTHONPATH; it is there after `installMoto`. */
export const motoPath = directoryOf('moto')

/** Throws with what pip said when it cannot be had. */
export const installMoto = () => installTool('moto')
