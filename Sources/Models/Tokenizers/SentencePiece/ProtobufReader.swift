/// A strict reader of the protocol buffers wire format (encoding.md): varint, 64-bit, length-delimited, 32-bit.
///
/// Every length is checked against what remains; groups and unknown wire types are refused.
struct ProtobufReader {
  /// A field's value.
  enum Value {
    case varint(UInt64), fixed64(UInt64), bytes(Range<Int>), fixed32(UInt32)
  }
  /// What is wrong, and at which byte.
  struct Failure: Error {
    var message: String
    var offset: Int
  }

  private let bytes: UnsafeRawBufferPointer
  private var place: Int
  private let end: Int

  /// A reader of the message at `range` of `bytes`; of all of them by default.
  init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>? = nil) {
    self.bytes = bytes
    place = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  /// The next field's number and value, or nil at the end of the message.
  mutating func next() throws(Failure) -> (field: Int, value: Value)? {
    guard place < end else { return nil }
    let start = place
    let key = try varint()
    guard key >> 3 > 0, key >> 3 < 1 << 29 else {
      throw Failure(message: "field number out of range", offset: start)
    }
    let field = Int(key >> 3)
    switch key & 7 {
    case 0: return (field, .varint(try varint()))
    case 1: return (field, .fixed64(try fixed(UInt64.self)))
    case 2:
      let count = try varint()
      guard count <= UInt64(end - place) else {
        throw Failure(message: "a field of \(count) bytes where \(end - place) are left", offset: start)
      }
      let range = place..<place + Int(count)
      place = range.upperBound
      return (field, .bytes(range))
    case 5: return (field, .fixed32(try fixed(UInt32.self)))
    default: throw Failure(message: "unknown wire type \(key & 7)", offset: start)
    }
  }

  private mutating func varint() throws(Failure) -> UInt64 {
    let start = place
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), through: 63, by: 7) {
      guard place < end else { throw Failure(message: "a number is cut off", offset: start) }
      let byte = bytes[place]
      place += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw Failure(message: "a number of more than ten bytes", offset: start)
  }

  private mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type) throws(Failure) -> Number {
    let size = MemoryLayout<Number>.size
    guard end - place >= size else { throw Failure(message: "a number is cut off", offset: place) }
    let value = bytes.loadUnaligned(fromByteOffset: place, as: Number.self)
    place += size
    return Number(littleEndian: value)
  }
}
