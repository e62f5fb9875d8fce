/// Files put together byte by byte, so that each can be wrong in exactly one way.
enum Bytes {
  static func u16(_ value: UInt16) -> [UInt8] { little(value) }
  static func u32(_ value: UInt32) -> [UInt8] { little(value) }
  static func u64(_ value: UInt64) -> [UInt8] { little(value) }
  static func f32(_ value: Float) -> [UInt8] { little(value.bitPattern) }

  private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// `count` zero bytes.
  static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

  static func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
  }
}

// MARK: - safetensors

/// A safetensors file: a header of any text, then data.
func safetensors(_ header: String, data: Int = 64) -> [UInt8] {
  Bytes.u64(UInt64(header.utf8.count)) + Array(header.utf8) + Bytes.zeros(data)
}

/// One entry of a safetensors header.
func entry(_ name: String, type: String = "F32", shape: String = "[2,4]", _ from: Int, _ to: Int) -> String {
  "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(from),\(to)]}"
}

// MARK: - GGUF

/// A GGUF file of any counts, keys, tensor descriptions and data.
struct GGUF {
  var version: UInt32 = 3
  var tensorCount: UInt64?
  var keyCount: UInt64?
  var keys: [[UInt8]] = [GGUF.text("general.architecture", "other")]
  var tensors: [[UInt8]] = [GGUF.tensor("a.weight", [4, 2], type: 0, offset: 0)]
  var data = Bytes.zeros(64)

  static func string(_ text: String) -> [UInt8] { Bytes.u64(UInt64(text.utf8.count)) + Array(text.utf8) }
  static func text(_ key: String, _ value: String) -> [UInt8] { string(key) + Bytes.u32(8) + string(value) }
  static func number(_ key: String, _ value: UInt32) -> [UInt8] {
    string(key) + Bytes.u32(4) + Bytes.u32(value)
  }
  static func tensor(_ name: String, _ sizes: [UInt64], type: UInt32, offset: UInt64) -> [UInt8] {
    string(name) + Bytes.u32(UInt32(sizes.count)) + sizes.flatMap(Bytes.u64) + Bytes.u32(type)
      + Bytes.u64(offset)
  }

  var head: [UInt8] {
    Array("GGUF".utf8) + Bytes.u32(version) + Bytes.u64(tensorCount ?? UInt64(tensors.count))
      + Bytes.u64(keyCount ?? UInt64(keys.count)) + keys.flatMap { $0 } + tensors.flatMap { $0 }
  }
  var bytes: [UInt8] { head + Bytes.zeros((32 - head.count % 32) % 32) + data }
}

// MARK: - PyTorch

/// Pickle opcodes for a state dict.
enum Pickle {
  static let begin: [UInt8] = [0x80, 2]
  static let stop: [UInt8] = [0x2E]
  static func text(_ text: String) -> [UInt8] {
    [0x58] + Bytes.u32(UInt32(text.utf8.count)) + Array(text.utf8)
  }
  static func int(_ value: Int32) -> [UInt8] { [0x4A] + Bytes.u32(UInt32(bitPattern: value)) }
  static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
  static func tuple(_ items: [[UInt8]]) -> [UInt8] { [0x28] + items.flatMap { $0 } + [0x74] }
  static func dictionary(_ items: [(String, [UInt8])]) -> [UInt8] {
    [0x7D] + items.flatMap { text($0.0) + $0.1 + [0x73] }
  }
  /// `torch._utils._rebuild_tensor_v2(storage, offset, shape, stride, False, {})`.
  static func tensor(
    key: String = "0", storage: String = "FloatStorage", count: Int32 = 8, offset: Int32 = 0,
    shape: [Int32] = [2, 4], stride: [Int32] = [4, 1]
  ) -> [UInt8] {
    let reference =
      tuple([text("storage"), global("torch", storage), text(key), text("cpu"), int(count)]) + [0x51]
    return global("torch._utils", "_rebuild_tensor_v2")
      + tuple([reference, int(offset), tuple(shape.map(int)), tuple(stride.map(int)), [0x89], [0x7D]]) + [
        0x52
      ]
  }
  /// A whole pickle of one value.
  static func whole(_ value: [UInt8]) -> [UInt8] { begin + value + stop }
}

/// A zip archive of stored entries.
struct Zip {
  var entries: [(name: String, bytes: [UInt8])]
  var method: UInt16 = 0
  var directoryOffset: UInt32?
  var entryCount: UInt16?

  /// A checkpoint as `torch.save` writes it, with this `data.pkl`.
  static func checkpoint(_ pickle: [UInt8], storage: Int = 32) -> Zip {
    Zip(entries: [
      ("archive/data.pkl", pickle), ("archive/byteorder", Array("little".utf8)),
      ("archive/data/0", Bytes.zeros(storage)), ("archive/version", Array("3\n".utf8)),
    ])
  }

  var bytes: [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for (name, bytes) in entries {
      let common =
        Bytes.u16(0) + Bytes.u16(method) + Bytes.u32(0) + Bytes.u32(Bytes.crc32(bytes))
        + Bytes.u32(UInt32(bytes.count)) + Bytes.u32(UInt32(bytes.count)) + Bytes.u16(UInt16(name.utf8.count))
        + Bytes.u16(0)
      directory +=
        Bytes.u32(0x0201_4B50) + Bytes.u16(20) + Bytes.u16(20) + common + Bytes.u16(0) + Bytes.u16(0)
        + Bytes.u16(0) + Bytes.u32(0) + Bytes.u32(UInt32(file.count)) + Array(name.utf8)
      file += Bytes.u32(0x0403_4B50) + Bytes.u16(20) + common + Array(name.utf8) + bytes
    }
    let count = entryCount ?? UInt16(entries.count)
    return file + directory + Bytes.u32(0x0605_4B50) + Bytes.u32(0) + Bytes.u16(count) + Bytes.u16(count)
      + Bytes.u32(UInt32(directory.count)) + Bytes.u32(directoryOffset ?? UInt32(file.count)) + Bytes.u16(0)
  }
}

/// A checkpoint as PyTorch wrote it before 1.6: magic, version, system, object, keys, storages.
func legacyTorch(_ object: [UInt8], storage: [UInt8] = Bytes.u64(8) + Bytes.zeros(32)) -> [UInt8] {
  let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
  let keys = Pickle.whole([0x5D, 0x28] + Pickle.text("0") + [0x65])
  return Pickle.whole(magic) + Pickle.whole([0x4D, 0xE9, 0x03]) + Pickle.whole([0x7D]) + Pickle.whole(object)
    + keys + storage
}
