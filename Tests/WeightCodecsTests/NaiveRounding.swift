import TensorCore

/// Rounding to nearest by the definitions, group by group, with scales that are not rounded: what a search has
/// to beat.
enum NaiveRounding {
  private static let table: [Float] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
  ]

  static func of(_ row: [Float], _ format: TensorFormat) -> [Float] {
    let isGrouped = [.int4_g32, .int4_g64, .int4_g128].contains(format)
    let group = isGrouped ? format.blockSize : [.q2_k, .q3_k, .q6_k].contains(format) ? 16 : 32
    return stride(from: 0, to: row.count, by: group).flatMap { first in
      let block = Array(row[first..<first + group])
      return switch format {
      case .q4_0, .int4_g32, .int4_g64, .int4_g128: line(block, -8, 7)
      case .q5_0: line(block, -16, 15)
      case .q3_k: line(block, -4, 3)
      case .q6_k: line(block, -32, 31)
      case .q4_1, .q4_k: affine(block, 15)
      case .q5_1, .q5_k: affine(block, 31)
      case .q2_k: affine(block, 3)
      case .iq4_nl, .iq4_xs: nearest(block)
      default: block
      }
    }
  }

  /// d = peak / low, q = round(x / d) within low…high.
  private static func line(_ block: [Float], _ low: Float, _ high: Float) -> [Float] {
    let d = peak(block) / low
    return d == 0 ? block.map { _ in 0 } : block.map { d * min(max(($0 / d).rounded(), low), high) }
  }

  /// d = (max − min) / high, q = round((x − min) / d).
  private static func affine(_ block: [Float], _ high: Float) -> [Float] {
    let (low, top) = (block.min() ?? 0, block.max() ?? 0)
    let d = (top - low) / high
    return d == 0 ? block : block.map { low + d * (($0 - low) / d).rounded() }
  }

  /// d = peak / −127, the table's nearest entry.
  private static func nearest(_ block: [Float]) -> [Float] {
    let d = peak(block) / -127
    guard d != 0 else { return block }
    return block.map { x in d * (table.min { abs($0 - x / d) < abs($1 - x / d) } ?? 0) }
  }

  private static func peak(_ block: [Float]) -> Float { block.max { abs($0) < abs($1) } ?? 0 }
}
