import TensorCore

/// The instruction sets that this machine can run; "scalar" comes first.
let instructionSets: [String] = ["scalar", "avx2", "avxvnni", "avx512", "neon"].filter { name in
  defer { _ = Kernels.selectInstructionSet(nil) }
  return Kernels.selectInstructionSet(name)
}

/// Runs `body` with another instruction set on this thread.
func withInstructionSet<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
  _ = Kernels.selectInstructionSet(name)
  defer { _ = Kernels.selectInstructionSet(nil) }
  return try body()
}

extension SeededGenerator {
  /// `count` numbers that are roughly normal with a few large ones among them.
  mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in
      let sum = (0..<4).reduce(0.0) { total, _ in total + uniform() - 0.5 }
      return Float(sum) * (uniform() < 0.02 ? 20 : 1)
    }
  }
}

/// Stored rows with random codes and sane scales: every code, scale and high bit occurs.
func randomRows(_ format: TensorFormat, rows: Int, columns: Int, seed: UInt64) -> [UInt8] {
  var generator = SeededGenerator(seed: seed)
  if format.isFloat {
    let values = generator.floats(rows * columns)
    var bytes = [UInt8](repeating: 0, count: values.count * format.bytesPerBlock)
    bytes.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress else { return }
      Kernels.encode(values, as: format, into: base, count: values.count)
    }
    return bytes
  }
  if format.rowHeaderBytes > 0 { return rowsWithScales(format, rows: rows, columns: columns, &generator) }
  let blocks = rows * columns / format.blockSize, size = format.bytesPerBlock
  var bytes = (0..<blocks * size).map { _ in UInt8.random(in: 0...255, using: &generator) }
  let halves: [Int] =
    switch format {
    case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
    case .q2_k: [80, 82]
    case .q3_k, .q6_k: [size - 2]
    default: [0]
    }
  for block in 0..<blocks {
    for offset in halves {
      let scale = Float16((generator.uniform() - 0.3) * 0.05)
      bytes[block * size + offset] = UInt8(scale.bitPattern & 255)
      bytes[block * size + offset + 1] = UInt8(scale.bitPattern >> 8)
    }
  }
  return bytes
}

/// Rows of a scale and codes, and the columns' scales behind them where the format has them.
private func rowsWithScales(
  _ format: TensorFormat, rows: Int, columns: Int, _ generator: inout SeededGenerator
) -> [UInt8] {
  var bytes: [UInt8] = []
  func append(_ bits: UInt16) { bytes += [UInt8(bits & 255), UInt8(bits >> 8)] }
  for _ in 0..<rows {
    append(Float16((generator.uniform() - 0.3) * 0.05).bitPattern)
    for _ in 0..<columns {
      if format == .uniform16 {
        append(UInt16(bitPattern: Int16.random(in: -32639...32639, using: &generator)))
      } else {
        bytes.append(UInt8(bitPattern: Int8.random(in: -128...127, using: &generator)))
      }
    }
  }
  for _ in 0..<(format.trailerBytesPerColumn > 0 ? columns : 0) {
    append(Float16(0.2 + 3 * generator.uniform()).bitPattern)
  }
  return bytes
}
