import TensorCore
import Testing

/// Float formats: every code decodes and encodes to itself, and rounding finds the nearest code, ties to even.
@Suite struct ConversionTests {
  static func encode(_ x: [Float], as format: TensorFormat) -> [UInt16] {
    var bytes = [UInt8](repeating: 0, count: x.count * format.bytesPerBlock)
    bytes.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress else { return }
      Kernels.encode(x, as: format, into: base, count: x.count)
    }
    guard format.bytesPerBlock == 2 else { return bytes.map(UInt16.init) }
    return (0..<x.count).map { UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8 }
  }

  static func decode(_ codes: [UInt16], as format: TensorFormat) -> [Float] {
    let bytes =
      format.bytesPerBlock == 2
      ? codes.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] } : codes.map { UInt8($0) }
    var result = [Float](repeating: 0, count: codes.count)
    bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      Kernels.decode(base, as: format, into: &result, count: codes.count)
    }
    return result
  }

  @Test(arguments: [TensorFormat.f16, .bf16, .f8_e4m3, .f8_e5m2], instructionSets)
  func everyCodeSurvives(format: TensorFormat, instructionSet: String) {
    withInstructionSet(instructionSet) {
      let codes = (0..<(format.bytesPerBlock == 2 ? 65536 : 256)).map { UInt16($0) }
      let values = Self.decode(codes, as: format)
      let back = Self.encode(values, as: format)
      for (code, value) in zip(codes, values) {
        if value.isNaN {
          #expect(Self.decode([back[Int(code)]], as: format)[0].isNaN)
        } else if back[Int(code)] != code {
          Issue.record("\(format) code \(code) became \(back[Int(code)])")
        }
      }
    }
  }

  /// Between neighbours the middle goes to the even code, and a little to either side to the nearer one.
  @Test(arguments: [TensorFormat.f16, .bf16, .f8_e4m3, .f8_e5m2], instructionSets)
  func roundsToNearestEven(format: TensorFormat, instructionSet: String) {
    let top: UInt16 =
      switch format {
      case .f16: 0x7bff
      case .bf16: 0x7f7f
      case .f8_e4m3: 0x7e
      default: 0x7b
      }
    let signBit: UInt16 = format.bytesPerBlock == 2 ? 0x8000 : 0x80
    let values = Self.decode((0...top).map { $0 }, as: format)
    var (inputs, expected): ([Float], [UInt16]) = ([], [])
    for code in stride(from: 0, to: top, by: format.bytesPerBlock == 2 ? 7 : 1) {
      let (low, high) = (values[Int(code)], values[Int(code) + 1])
      let middle = low + (high - low) / 2
      guard Double(middle) == (Double(low) + Double(high)) / 2 else { continue }  // a float's own last bit
      for (value, answer) in [
        (middle, code % 2 == 0 ? code : code + 1), (middle.nextDown, code), (middle.nextUp, code + 1),
      ] {
        inputs += [value, -value]
        expected += [answer, answer | signBit]
      }
    }
    #expect(inputs.count > 100)
    let found = withInstructionSet(instructionSet) { Self.encode(inputs, as: format) }
    for index in inputs.indices where found[index] != expected[index] {
      Issue.record("\(format): \(inputs[index]) became \(found[index]), not \(expected[index])")
    }
  }

  @Test(arguments: instructionSets)
  func overflowAndNaN(instructionSet: String) {
    withInstructionSet(instructionSet) {
      let x: [Float] = [65519.99, 65520, .infinity, -.infinity, 1e30]
      #expect(Self.encode(x, as: .f16) == [0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00])
      #expect(Self.encode([3.39e38, 3.4e38, .infinity], as: .bf16) == [0x7f7f, 0x7f80, 0x7f80])
      #expect(
        Self.encode([464, 464.1, 480, .infinity, -1e9], as: .f8_e4m3) == [0x7e, 0x7f, 0x7f, 0x7f, 0xff])
      #expect(Self.encode([61439, 61440, .infinity, -1e9], as: .f8_e5m2) == [0x7b, 0x7c, 0x7c, 0xfc])
      for format in [TensorFormat.f16, .bf16, .f8_e4m3, .f8_e5m2] {
        let code = Self.encode([.nan], as: format)
        #expect(Self.decode(code, as: format)[0].isNaN)
        let payload = Self.encode([Float(bitPattern: 0x7f80_0001)], as: format)
        #expect(Self.decode(payload, as: format)[0].isNaN)
      }
    }
  }

  @Test func doublesRoundTrip() {
    let x: [Float] = [1, -0.1, .infinity, .leastNonzeroMagnitude, 0]
    var bytes = [Double](repeating: 0, count: 5)
    Kernels.encode(x, as: .f64, into: &bytes, count: 5)
    #expect(bytes == x.map(Double.init))
    var back = [Float](repeating: 0, count: 5)
    Kernels.decode(bytes, as: .f64, into: &back, count: 5)
    #expect(back == x)
  }
}
