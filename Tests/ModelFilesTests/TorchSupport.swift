import ModelFiles
import TensorCore
import TestSupport
import Testing

/// What a fixture's script says that a reader must find.
struct ExpectedModel {
  struct Tensor: Equatable {
    let name: String
    let shape: [Int]
    let format: String
    let bytes: [UInt8]
  }

  let tensors: [Tensor]
  let aliases: [String: String]
  let configuration: JSONValue?
  let notes: [String]?

  /// The entry `name` of the `expected.json` in `folder`.
  init(_ name: String, in folder: String) throws {
    let text = try fixtureBytes("\(folder)/expected.json")
    let entry = try #require(try text.withUnsafeBytes { try JSONValue(parsing: $0) }[name])
    tensors = try (entry["tensors"]?.arrayValue ?? []).map { value in
      Tensor(
        name: try #require(value["name"]?.stringValue),
        shape: (value["shape"]?.arrayValue ?? []).compactMap(\.intValue),
        format: try #require(value["format"]?.stringValue),
        bytes: ExpectedModel.bytes(hexadecimal: try #require(value["bytes"]?.stringValue)))
    }
    aliases = (entry["aliases"]?.objectValue?.members ?? []).reduce(into: [:]) {
      $0[$1.key] = $1.value.stringValue
    }
    configuration = entry["configuration"]
    notes = entry["notes"]?.arrayValue?.compactMap(\.stringValue)
  }

  private static func bytes(hexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8).map { UInt8($0 > 0x39 ? $0 - 0x57 : $0 - 0x30) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

extension ModelSource {
  /// The tensors with their bytes loaded.
  func loaded() throws -> [ExpectedModel.Tensor] {
    try tensors.map { tensor in
      let bytes = try tensor.bytes.load()
      #expect(bytes.count == tensor.bytes.count)
      #expect(bytes.count == tensor.format.byteCount(of: tensor.elementCount))
      return ExpectedModel.Tensor(
        name: tensor.name, shape: tensor.shape, format: tensor.format.rawValue, bytes: Array(bytes.buffer))
    }
  }
}

/// The whole fixture.
func fixtureBytes(_ name: String) throws -> [UInt8] {
  let file = try MappedFile(path: fixture(name))
  // The buffer does not keep the file: without this the mapping may end before the copy is made.
  return withExtendedLifetime(file) { Array(file.region.buffer) }
}

/// Reads torch bytes that no file holds.
func readTorch(_ bytes: [UInt8]) throws -> ModelSource {
  try TorchFile.read(ByteRegion(bytes), path: "model.bin")
}

/// The error that reading `bytes` ends with; a file that reads is a failed test.
func torchError(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> ModelFileError? {
  #expect(throws: ModelFileError.self, sourceLocation: sourceLocation) { try readTorch(bytes) }
}

/// Little-endian bytes of `value`.
func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// Pickles written by hand, opcode by opcode.
enum Pickle {
  static let proto: [UInt8] = [0x80, 2]
  static let stop: [UInt8] = [0x2E]
  static let mark: [UInt8] = [0x28]
  static let tuple: [UInt8] = [0x74]
  static let reduce: [UInt8] = [0x52]
  static let emptyDict: [UInt8] = [0x7D]
  static let emptyList: [UInt8] = [0x5D]
  static let emptyTuple: [UInt8] = [0x29]
  static let setItem: [UInt8] = [0x73]
  static let setItems: [UInt8] = [0x75]
  static let append: [UInt8] = [0x61]

  static func string(_ text: String) -> [UInt8] {
    [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }
  static func int(_ value: Int) -> [UInt8] { [0x8A, 8] + little(Int64(value)) }
  static func global(_ module: String, _ name: String) -> [UInt8] {
    [0x63] + Array("\(module)\n\(name)\n".utf8)
  }
  static func put(_ place: UInt8) -> [UInt8] { [0x71, place] }
  static func get(_ place: UInt8) -> [UInt8] { [0x68, place] }
  static func tuple(_ items: [[UInt8]]) -> [UInt8] { mark + items.joined() + tuple }

  static func storage(_ name: String = "FloatStorage", key: String = "0", count: Int) -> [UInt8] {
    tuple([string("storage"), global("torch", name), string(key), string("cpu"), int(count)]) + [0x51]
  }

  static func tensor(
    _ storageClass: String = "FloatStorage", key: String = "0", count: Int = 4, offset: Int = 0,
    shape: [Int] = [4],
    strides: [Int] = [1]
  ) -> [UInt8] {
    global("torch._utils", "_rebuild_tensor_v2")
      + tuple([
        storage(storageClass, key: key, count: count), int(offset), tuple(shape.map(int)),
        tuple(strides.map(int)),
        [0x89], global("collections", "OrderedDict") + emptyTuple + reduce,
      ]) + reduce
  }

  /// A dictionary of `members`, ready to be read.
  static func document(_ members: [(String, [UInt8])]) -> [UInt8] {
    proto + emptyDict + mark + members.flatMap { string($0.0) + $0.1 } + setItems + stop
  }
}

/// ZIP archives written by hand, right or wrong.
struct Zip {
  struct Entry {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    var checksum: UInt32?
    var localName: String?
    /// What the directory says, where that is to differ from the truth.
    var size: UInt32?
    var offset: UInt32?
  }

  var entries: [Entry]
  var announced: UInt16?

  /// A checkpoint of `pickle` and storages "0", "1" …
  init(_ pickle: [UInt8], storages: [[UInt8]] = [[UInt8](repeating: 1, count: 16)]) {
    entries = [Entry(name: "m/data.pkl", data: pickle)]
    for (place, data) in storages.enumerated() { entries.append(Entry(name: "m/data/\(place)", data: data)) }
  }

  var bytes: [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let offset = UInt32(file.count)
      let size = UInt32(entry.data.count)
      let checksum = entry.checksum ?? Zip.checksum(entry.data)
      let localName = Array((entry.localName ?? entry.name).utf8)
      let first = little(entry.flags) + little(entry.method) + little(UInt32(0)) + little(checksum)
      file += little(UInt32(0x0403_4B50)) + little(UInt16(20)) + first + little(size) + little(size)
      file += little(UInt16(localName.count)) + little(UInt16(0)) + localName + entry.data
      let said = little(entry.size ?? size)
      directory += little(UInt32(0x0201_4B50)) + little(UInt16(20)) + little(UInt16(20)) + first + said + said
      directory += little(UInt16(entry.name.utf8.count)) + [UInt8](repeating: 0, count: 12)
      directory += little(entry.offset ?? offset) + Array(entry.name.utf8)
    }
    let count = announced ?? UInt16(entries.count)
    return file + directory + little(UInt32(0x0605_4B50)) + little(UInt32(0)) + little(count) + little(count)
      + little(UInt32(directory.count)) + little(UInt32(file.count)) + little(UInt16(0))
  }

  /// CRC-32 bit by bit, from its definition.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var sum: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
    return ~sum
  }
}
