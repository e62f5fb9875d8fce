import CKernels
import TensorCore
import TestSupport
import Testing
import WeightCodecs

@Suite struct DecodingTests {
  @Test(arguments: CodecList.all.map(\.format))
  func `reads the same bits as the tools that define the format`(_ format: TensorFormat) throws {
    let expected = try fixtureFloats(fixtureName(format, "f32"))
    let bytes = try fixtureBytes(fixtureName(format, "bytes"))
    let decoded = try TensorCoding.decode(bytes, format: format, rows: 1, columns: expected.count).elements
    // The sign and payload of a NaN that arithmetic makes are the processor's.
    let different = expected.indices.filter {
      expected[$0].bitPattern != decoded[$0].bitPattern && !(expected[$0].isNaN && decoded[$0].isNaN)
    }
    #expect(different.isEmpty, "\(different.count) differ, first at \(different.first ?? -1)")
  }

  @Test(arguments: [TensorFormat.f16, .bf16, .f32, .f8_e4m3, .f8_e5m2])
  func `NaNs of plain elements keep their bits`(_ format: TensorFormat) throws {
    let expected = try fixtureFloats(fixtureName(format, "f32"))
    let bytes = try fixtureBytes(fixtureName(format, "bytes"))
    let decoded = try TensorCoding.decode(bytes, format: format, rows: 1, columns: expected.count).elements
    #expect(expected.contains { $0.isNaN })
    #expect(expected.map(\.bitPattern) == decoded.map(\.bitPattern))
  }

  @Test(arguments: CodecList.all.map(\.format))
  func `rows may start at any address`(_ format: TensorFormat) throws {
    let bytes = array(try fixtureBytes(fixtureName(format, "bytes")))
    let expected = try fixtureFloats(fixtureName(format, "f32"))
    let shifted = ByteRegion([0xAA] + bytes).slice(1..<bytes.count + 1)
    let decoded = try TensorCoding.decode(shifted, format: format, rows: 1, columns: expected.count).elements
    let same = zip(expected, decoded).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) }
    #expect(same)
  }

  @Test func `every weight format has a codec and no other`() {
    for format in TensorFormat.allCases {
      #expect((CodecList.codec(for: format) != nil) == format.isWeight, "\(format)")
    }
    #expect(CodecList.codec(for: .f8_e4m3)?.canEncode == false)
    #expect(CodecList.codec(for: .q4_k)?.canEncode == true)
  }
}

/// The two tests of this suite switch bodies for the whole process, which changes no result of the others.
@Suite(.serialized) struct BaselineTests {
  @Test(arguments: CodecList.all.map(\.format))
  func `decoding gives the same bits on every instruction set`(_ format: TensorFormat) throws {
    let bytes = try fixtureBytes(fixtureName(format, "bytes"))
    let count = try fixtureFloats(fixtureName(format, "f32")).count
    let fast = try TensorCoding.decode(bytes, format: format, rows: 1, columns: count).elements
    ck_limit_to_baseline(1)
    defer { ck_limit_to_baseline(0) }
    let plain = try TensorCoding.decode(bytes, format: format, rows: 1, columns: count).elements
    #expect(zip(fast, plain).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) })
  }

  @Test(arguments: quantized + [.f16, .bf16])
  func `encoding gives the same bytes on every instruction set`(_ format: TensorFormat) throws {
    let matrix = Matrix(rows: 7, columns: 768, elements: normal(7 * 768, seed: 5, scale: 0.03))
    let importance = normal(768, seed: 6).map { $0 * $0 }
    let fast = try TensorCoding.encode(matrix, format: format)
    let fastWeighted = try TensorCoding.encode(matrix, format: format, importance: importance)
    defer { ck_limit_to_baseline(0) }
    for limit: Int32 in [1, 2] {
      ck_limit_to_baseline(limit)
      #expect(array(fast) == array(try TensorCoding.encode(matrix, format: format)))
      let weighted = try TensorCoding.encode(matrix, format: format, importance: importance)
      #expect(array(fastWeighted) == array(weighted))
    }
  }
}
