import CKernels
import Foundation
import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// Rounding of whole rows without importance, against its scalar twin and against searches written from the definition, in
/// double precision.
@Suite(.serialized) struct RowRoundingTests {
  private static let formats: [TensorFormat] = [.q4_0, .q5_0, .q8_0, .q4_k, .q5_k, .q6_k]
  private static let lines: [TensorFormat] = [.q4_0, .q5_0]

  @Test(arguments: formats)
  func `all instruction sets give the same bytes`(_ format: TensorFormat) throws {
    defer { ck_limit_to_baseline(0) }
    for (name, row) in rows(of: 256 * 7) {
      ck_limit_to_baseline(1)
      let scalar = rounded(row, format)
      ck_limit_to_baseline(2)
      #expect(rounded(row, format) == scalar, "\(format), \(name): AVX2")
      ck_limit_to_baseline(0)
      #expect(rounded(row, format) == scalar, "\(format), \(name)")
    }
  }

  @Test(arguments: formats)
  func `a block's bytes depend on that block alone`(_ format: TensorFormat) {
    let size = format.blockSize
    for blocks in [1, 2, 3, 15, 17, 33] {
      let row = normal(size * blocks, seed: UInt64(blocks), scale: 0.03)
      let one = (0..<blocks).flatMap { rounded(Array(row[$0 * size..<($0 + 1) * size]), format) }
      #expect(rounded(row, format) == one, "\(format): \(blocks) blocks")
    }
  }

  @Test func `eight bits are rounded by the definition`() {
    for (name, row) in rows(of: 256 * 5) {
      var expected: [UInt8] = []
      for first in stride(from: 0, to: row.count, by: 32) {
        var (codes, d) = ([Int8](repeating: 0, count: 32), UInt16(0))
        ck_fit_q8_0(Array(row[first..<first + 32]), &codes, &d)
        expected += [UInt8(truncatingIfNeeded: d), UInt8(d >> 8)] + codes.map { UInt8(bitPattern: $0) }
      }
      #expect(rounded(row, .q8_0) == expected, "\(name)")
    }
  }

  @Test(arguments: lines)
  func `blocks with one scale are close to the best of all scales`(_ format: TensorFormat) throws {
    let low = format == .q4_0 ? -8.0 : -16.0
    var (ours, best) = (0.0, 0.0)
    let row = normal(32 * 400, seed: 5, scale: 0.02)
    let decoded = try decoded(row, format)
    for first in stride(from: 0, to: row.count, by: 32) {
      let block = row[first..<first + 32].map(Double.init)
      let square = block.reduce(0) { $0 + $1 * $1 } / 32
      let weights = block.map { 1.4 * square + $0 * $0 }
      for i in 0..<32 {
        let error = Double(decoded[first + i]) - block[i]
        ours += weights[i] * error * error
      }
      best += Naive.line(block, weights, low, -1 - low)
    }
    #expect(ours < 1.01 * best, "\(format): \(ours / best)")
    #expect(ours > 0.999 * best, "\(format): better than the best, \(ours / best)")
  }

  @Test func `groups of sixteen are close to the best of scales that are not rounded`() throws {
    let row = normal(256 * 60, seed: 6, scale: 0.02)
    let decoded = try decoded(row, .q6_k)
    var (ours, best) = (0.0, 0.0)
    for first in stride(from: 0, to: row.count, by: 16) {
      let group = row[first..<first + 16].map(Double.init)
      let weights = Naive.weights(group)
      for i in 0..<16 {
        let error = Double(decoded[first + i]) - group[i]
        ours += weights[i] * error * error
      }
      best += Naive.line(group, weights, -32, 31)
    }
    // Of that, a fifth is what scales of eight bits that share one cost: each is one of few near its best.
    #expect(ours < 1.25 * best && ours > 0.999 * best, "\(ours / best)")
  }

  @Test(arguments: [TensorFormat.q4_k, .q5_k])
  func `groups with minimums are close to the best of scales that are not rounded`(_ format: TensorFormat)
    throws
  {
    let row = normal(256 * 20, seed: 7, scale: 0.02)
    let decoded = try decoded(row, format)
    var (ours, best) = (0.0, 0.0)
    for first in stride(from: 0, to: row.count, by: 32) {
      let group = row[first..<first + 32].map(Double.init)
      let weights = Naive.weights(group)
      for i in 0..<32 {
        let error = Double(decoded[first + i]) - group[i]
        ours += weights[i] * error * error
      }
      best += Naive.affine(group, weights, format == .q4_k ? 15 : 31)
    }
    #expect(ours < (format == .q4_k ? 1.06 : 1.12) * best && ours > 0.99 * best, "\(ours / best)")
  }

  @Test(arguments: formats)
  func `nothing known and zeros known are the same`(_ format: TensorFormat) throws {
    let matrix = Matrix(rows: 2, columns: 512, elements: normal(1024, seed: 8))
    let none = try TensorCoding.encode(matrix, format: format)
    #expect(
      array(none) == rounded(Array(matrix.elements[..<512]), format)
        + rounded(Array(matrix.elements[512...]), format))
    let zeros = try TensorCoding.encode(matrix, format: format, importance: [Float](repeating: 0, count: 512))
    #expect(array(none) == array(zeros))
  }

  /// Rows of every kind that scales are hard for.
  private func rows(of count: Int) -> [(String, [Float])] {
    var rows: [(String, [Float])] = [1, 0.02, 1e-5, 1e-9, 1e-38, 1e6, 1e37].map {
      ("normal \($0)", normal(count, seed: 17, scale: $0).map { max(-3e38, min(3e38, $0)) })
    }
    rows.append(("zeros", [Float](repeating: 0, count: count)))
    rows.append(("negative zeros", [Float](repeating: -0.0, count: count)))
    rows.append(("equal", [Float](repeating: -0.3, count: count)))
    rows.append(("positive", normal(count, seed: 18).map(abs)))
    rows.append(("halves", (0..<count).map { Float($0 % 255 - 127) / 2 }))
    var outliers = normal(count, seed: 19, scale: 0.01)
    for place in stride(from: 5, to: count, by: 97) { outliers[place] *= 500 }
    rows.append(("outliers", outliers))
    var sparse = [Float](repeating: 0, count: count)
    for place in stride(from: 3, to: count, by: 61) { sparse[place] = Float(place) - 300 }
    rows.append(("sparse", sparse))
    let mixed = normal(count, seed: 20)
    rows.append(
      (
        "of all sizes",
        mixed.enumerated().map { $1 * Float(sign: .plus, exponent: $0 % 60 - 50, significand: 1) }
      ))
    return rows
  }

  private func rounded(_ row: [Float], _ format: TensorFormat) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: format.byteCount(of: row.count) ?? 0)
    ck_round_row(format.kernelID ?? -1, row, row.count, &bytes)
    return bytes
  }

  private func decoded(_ row: [Float], _ format: TensorFormat) throws -> [Float] {
    try TensorCoding.decode(ByteRegion(rounded(row, format)), format: format, rows: 1, columns: row.count)
      .elements
  }
}

/// Searches of a fine grid of scales in double precision.
private enum Naive {
  static func weights(_ group: [Double]) -> [Double] {
    let root = (group.reduce(0) { $0 + $1 * $1 } / Double(group.count)).squareRoot()
    return group.map { root + abs($0) }
  }

  /// The least Σ w·(x − s·q)² over scales of both signs.
  static func line(_ x: [Double], _ w: [Double], _ low: Double, _ high: Double) -> Double {
    let peak = x.max { abs($0) < abs($1) } ?? 0
    var best = Double.infinity
    for k in 0..<600 {
      for extreme in [low, high] {
        let s = peak / (extreme * (0.6 + 0.0015 * Double(k)))
        var (xq, qq, xx) = (0.0, 0.0, 0.0)
        for (value, weight) in zip(x, w) {
          let q = min(max((value / s).rounded(.toNearestOrEven), low), high)
          xq += weight * value * q
          qq += weight * q * q
          xx += weight * value * value
        }
        if qq > 0 { best = min(best, xx - xq * xq / qq) }
      }
    }
    return best
  }

  /// The least Σ w·(x − s·q − m)² over ranges whose ends are moved, with the best s and m for their codes, m ≤ 0.
  static func affine(_ x: [Double], _ w: [Double], _ high: Double) -> Double {
    let (least, most) = (min(0, x.min() ?? 0), max(0, x.max() ?? 0))
    let step = (most - least) / high
    var best = Double.infinity
    for below in -10...20 {
      for above in -10...20 {
        let m = min(0, least + 0.08 * Double(below) * step)
        let s = (most - 0.08 * Double(above) * step - m) / high
        guard s > 0 else { continue }
        best = min(best, error(x, w, codes: x.map { min(max((($0 - m) / s).rounded(), 0), high) }))
      }
    }
    return best
  }

  private static func error(_ x: [Double], _ w: [Double], codes: [Double]) -> Double {
    var (qq, q1, w1, xq, x1, xx) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for i in x.indices {
      qq += w[i] * codes[i] * codes[i]
      q1 += w[i] * codes[i]
      w1 += w[i]
      xq += w[i] * x[i] * codes[i]
      x1 += w[i] * x[i]
      xx += w[i] * x[i] * x[i]
    }
    let determinant = qq * w1 - q1 * q1
    guard determinant > 1e-12 * qq * w1 else { return .infinity }
    let (s, m) = ((xq * w1 - x1 * q1) / determinant, (x1 * qq - xq * q1) / determinant)
    return m <= 0 ? xx - s * xq - m * x1 : xx - xq * xq / qq
  }
}
