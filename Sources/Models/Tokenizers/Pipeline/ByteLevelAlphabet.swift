/// The printable characters that GPT-2's byte-level vocabularies write bytes as.
enum ByteLevelAlphabet {
  /// The scalar of each byte: itself where printable, else U+0100 and up in order.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (UInt32(0)..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte) ?? "?"
      default:
        next += 1
        return Unicode.Scalar(next - 1) ?? "?"
      }
    }
  }()

  private static let bytes: [UInt32: UInt8] = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($1.value, UInt8($0)) })

  /// The bytes that `piece` stands for, or nil when it has a character that stands for none.
  static func bytes(of piece: [UInt8]) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in UTF8Text.scalars(piece) {
      guard let byte = bytes[scalar.value] else { return nil }
      result.append(byte)
    }
    return result
  }
}
