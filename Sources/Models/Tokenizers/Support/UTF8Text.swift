/// Work on UTF-8 bytes without Swift strings, whose indices and equality are about characters.
enum UTF8Text {
  /// U+2581, which stands for a space in SentencePiece vocabularies.
  static let metaspace: [UInt8] = [0xE2, 0x96, 0x81]
  /// U+FFFD, the replacement character.
  static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

  /// The length that a character's first byte promises; 1 for bytes that begin nothing.
  @inline(__always)
  static func length(leading byte: UInt8) -> Int {
    switch byte {
    case 0xC0..<0xE0: 2
    case 0xE0..<0xF0: 3
    case 0xF0...: 4
    default: 1
    }
  }

  /// The scalar at `place` of valid UTF-8, and its length.
  @inline(__always)
  static func scalar(_ text: UnsafeRawBufferPointer, _ place: Int) -> (scalar: Unicode.Scalar, length: Int) {
    let first = UInt32(text[place])
    if first < 0x80 { return (Unicode.Scalar(UInt8(first)), 1) }
    func next(_ offset: Int) -> UInt32 {
      place + offset < text.count ? UInt32(text[place + offset]) & 0x3F : 0
    }
    let value: UInt32
    let length: Int
    if first < 0xE0 {
      (value, length) = ((first & 0x1F) << 6 | next(1), 2)
    } else if first < 0xF0 {
      (value, length) = ((first & 0x0F) << 12 | next(1) << 6 | next(2), 3)
    } else {
      (value, length) = ((first & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3), 4)
    }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", min(length, text.count - place))
  }

  /// The scalars of valid UTF-8.
  static func scalars(_ text: [UInt8]) -> [Unicode.Scalar] {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.count)
    text.withUnsafeBytes { buffer in
      var place = 0
      while place < buffer.count {
        let (scalar, length) = scalar(buffer, place)
        scalars.append(scalar)
        place += length
      }
    }
    return scalars
  }

  /// Appends `scalar` as UTF-8.
  @inline(__always)
  static func append(_ scalar: Unicode.Scalar, to text: inout [UInt8]) {
    let value = scalar.value
    switch value {
    case 0..<0x80: text.append(UInt8(value))
    case 0x80..<0x800: text += [UInt8(0xC0 | value >> 6), continuation(value)]
    case 0x800..<0x10000: text += [UInt8(0xE0 | value >> 12), continuation(value >> 6), continuation(value)]
    default:
      text += [
        UInt8(0xF0 | value >> 18), continuation(value >> 12), continuation(value >> 6), continuation(value),
      ]
    }
  }

  private static func continuation(_ value: UInt32) -> UInt8 { UInt8(0x80 | value & 0x3F) }

  /// `text` with each ill-formed stretch replaced by U+FFFD, as Python's `errors="replace"` does it (one replacement for
  /// each maximal subpart, Unicode 3.9).
  static func repaired(_ text: [UInt8]) -> [UInt8] {
    if text.allSatisfy({ $0 < 0x80 }) || isValid(text) { return text }
    return Array(String(decoding: text, as: UTF8.self).utf8)
  }

  /// Whether `text` is UTF-8.
  static func isValid(_ text: [UInt8]) -> Bool {
    text.withUnsafeBytes { buffer in
      var place = 0
      while place < buffer.count {
        guard let length = validLength(buffer, place) else { return false }
        place += length
      }
      return true
    }
  }

  /// The length of the well-formed scalar at `place`, or nil when there is none.
  static func validLength(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int? {
    let first = text[place]
    if first < 0x80 { return 1 }
    guard first >= 0xC2, first <= 0xF4 else { return nil }
    let length = length(leading: first)
    guard place + length <= text.count else { return nil }
    for offset in 1..<length where text[place + offset] & 0xC0 != 0x80 { return nil }
    let second = text[place + 1]
    switch first {
    case 0xE0 where second < 0xA0, 0xED where second > 0x9F, 0xF0 where second < 0x90,
      0xF4 where second > 0x8F:
      return nil
    default: return length
    }
  }

  /// `text` with every space as U+2581.
  static func escapingSpaces(_ text: [UInt8]) -> [UInt8] { replacing(text, [0x20], with: metaspace) }
  /// `text` with every U+2581 as a space.
  static func unescapingSpaces(_ text: [UInt8]) -> [UInt8] { replacing(text, metaspace, with: [0x20]) }

  /// `text` with every occurrence of `pattern`, from left to right, replaced.
  static func replacing(_ text: [UInt8], _ pattern: [UInt8], with replacement: [UInt8]) -> [UInt8] {
    guard let first = pattern.first, text.contains(first) else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 2)
    var place = 0
    while place < text.count {
      if text[place] == first, text[place...].starts(with: pattern) {
        result += replacement
        place += pattern.count
      } else {
        result.append(text[place])
        place += 1
      }
    }
    return result
  }

  /// The byte that a piece of the form `<0x41>` stands for.
  static func byteValue(_ piece: [UInt8]) -> UInt8? {
    guard piece.count == 6, piece.starts(with: Array("<0x".utf8)), piece[5] == UInt8(ascii: ">") else {
      return nil
    }
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case 0x30...0x39: byte - 0x30
      case 0x41...0x46: byte - 0x41 + 10
      case 0x61...0x66: byte - 0x61 + 10
      default: nil
      }
    }
    guard let high = digit(piece[3]), let low = digit(piece[4]) else { return nil }
    return high << 4 | low
  }

  /// The piece that stands for `byte`: `<0x41>`.
  static func bytePiece(_ byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
  }
}
