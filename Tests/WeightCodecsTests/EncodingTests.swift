import TensorCore
import TestSupport
import Testing
import WeightCodecs

@Suite struct EncodingTests {
  @Test(arguments: [TensorFormat.q8_0, .f16, .bf16])
  func `writes the same bytes as gguf where the encoding is exact`(_ format: TensorFormat) throws {
    let input = try fixtureFloats("encode-input.f32")
    let matrix = Matrix(rows: input.count / 256, columns: 256, elements: input)
    let encoded = try TensorCoding.encode(matrix, format: format)
    #expect(array(encoded) == array(try fixtureBytes("encode-\(format.rawValue).bytes")))
  }

  @Test(arguments: [TensorFormat.f32, .f64])
  func `wide floats come back unchanged`(_ format: TensorFormat) throws {
    let row = normal(37, seed: 1) + [-0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude]
    #expect(try roundTrip(row, format).map(\.bitPattern) == row.map(\.bitPattern))
  }

  @Test func `halves saturate instead of becoming infinite`() throws {
    let decoded = try roundTrip([65_504, 65_519, 65_520, 1e30, -1e30, 0x1p-24, 0x1p-26], .f16)
    #expect(decoded == [65_504, 65_504, 65_504, 65_504, -65_504, 0x1p-24, 0])
  }

  @Test(arguments: searched.indices)
  func `the error on normal weights stays below the format's bound`(_ index: Int) throws {
    let (format, bound) = searched[index]
    for scale in [Float(1), 0.02, 300] {
      let row = normal(8192, seed: 11, scale: scale)
      let relative = weightedError(try roundTrip(row, format), row) / energy(row)
      #expect(relative < bound, "\(format) at \(scale): \(relative)")
      #expect(relative > bound / 10, "\(format) at \(scale): \(relative) is too good to be true")
    }
  }

  @Test(arguments: searched.map(\.format))
  func `the error is below that of rounding by the definition`(_ format: TensorFormat) throws {
    for seed in UInt64(1)...4 {
      let row = normal(4096, seed: seed, scale: 0.05)
      let ours = weightedError(try roundTrip(row, format), row)
      let naive = weightedError(NaiveRounding.of(row, format), row)
      #expect(ours < naive, "\(format): \(ours) against \(naive)")
    }
  }

  @Test(arguments: searched.map(\.format))
  func `importance lowers the error it weighs`(_ format: TensorFormat) throws {
    let row = normal(4096, seed: 21)
    let importance = normal(4096, seed: 22).map { $0 * $0 * $0 * $0 }
    let weight = { Double(importance[$0]) }
    let with = weightedError(try roundTrip(row, format, importance: importance), row, weight)
    let without = weightedError(try roundTrip(row, format), row, weight)
    #expect(with < 0.9 * without, "\(format): \(with) against \(without)")
  }

  @Test(arguments: searched.map(\.format))
  func `importance counts by its proportions only`(_ format: TensorFormat) throws {
    let row = normal(512, seed: 31)
    let importance = normal(512, seed: 32).map { abs($0) }
    let matrix = Matrix(rows: 1, columns: 512, elements: row)
    let plain = try TensorCoding.encode(matrix, format: format, importance: importance)
    let scaled = try TensorCoding.encode(matrix, format: format, importance: importance.map { $0 * 0x1p60 })
    #expect(array(plain) == array(scaled))
    // Zero everywhere says nothing, so it is as if there were none.
    let none = try TensorCoding.encode(matrix, format: format)
    let zero = try TensorCoding.encode(matrix, format: format, importance: [Float](repeating: 0, count: 512))
    #expect(array(none) == array(zero))
  }
}

/// Blocks that scale searches tend to get wrong.
@Suite struct SpecialBlockTests {
  @Test(arguments: quantized)
  func `zeros stay zeros`(_ format: TensorFormat) throws {
    for zero in [Float(0), -0.0] {
      #expect(try roundTrip([Float](repeating: zero, count: 256), format).allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: quantized)
  func `a single weight survives among zeros`(_ format: TensorFormat) throws {
    for value in [Float(3.25), -3.25, 1e-3, -2000] {
      var row = [Float](repeating: 0, count: 256)
      row[77] = value
      let decoded = try roundTrip(row, format)
      #expect(abs(decoded[77] - value) <= 0.02 * abs(value), "\(format): \(decoded[77]) for \(value)")
      let rest = weightedError(decoded, row)
      // The iq4 table has no zero: the 31 neighbours become a 113th of the peak at best.
      #expect(rest <= 0.003 * Double(value) * Double(value), "\(format): \(rest) for \(value)")
    }
  }

  @Test(arguments: quantized)
  func `constant rows come back nearly exact`(_ format: TensorFormat) throws {
    for value in [Float(0.7), -0.7, 0.05] {
      let decoded = try roundTrip([Float](repeating: value, count: 512), format)
      #expect(decoded.allSatisfy { abs($0 - value) <= 0.004 * abs(value) }, "\(format): \(decoded[0])")
    }
  }

  @Test(arguments: searched.map(\.format))
  func `one sign only`(_ format: TensorFormat) throws {
    let positive = normal(2048, seed: 41).map { abs($0) + 0.01 }
    for row in [positive, positive.map { -$0 }] {
      let decoded = try roundTrip(row, format)
      let relative = weightedError(decoded, row) / energy(row)
      #expect(relative < 0.08, "\(format): \(relative)")
      #expect(decoded.allSatisfy { $0.isFinite })
    }
  }

  @Test(arguments: quantized)
  func `huge weights saturate and stay finite`(_ format: TensorFormat) throws {
    for scale in [Float(1e6), 1e20, 1e38] {
      let row = normal(512, seed: 51).map { min(max($0, -3), 3) * scale }
      let decoded = try roundTrip(row, format)
      #expect(decoded.allSatisfy { $0.isFinite }, "\(format) at \(scale)")
      let agree = zip(row, decoded).allSatisfy { $0 * $1 >= 0 || abs($0) < 0.4 * scale }
      #expect(agree, "\(format) at \(scale)")
      #expect(weightedError(decoded, row) <= 1.0001 * energy(row), "\(format) at \(scale)")
    }
  }

  @Test(arguments: quantized)
  func `tiny weights are no worse than zeros`(_ format: TensorFormat) throws {
    for scale in [Float(1e-5), 1e-7, 1e-9, 1e-30, 0x1p-133] {
      let row = normal(512, seed: 61, scale: scale)
      let decoded = try roundTrip(row, format)
      #expect(decoded.allSatisfy { $0.isFinite })
      #expect(weightedError(decoded, row) <= 1.05 * energy(row), "\(format) at \(scale)")
    }
  }

  @Test(arguments: searched.map(\.format))
  func `an outlier does not silence its neighbours' block`(_ format: TensorFormat) throws {
    var row = normal(512, seed: 71, scale: 0.02)
    row[300] = 4
    let decoded = try roundTrip(row, format)
    #expect(abs(decoded[300] - 4) < 0.5)
    #expect(weightedError(decoded, row) < 0.08 * (energy(row) - 16) + 0.15, "\(format)")
  }
}
