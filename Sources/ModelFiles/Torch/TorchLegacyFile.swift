import TensorCore

/// Checkpoints from before torch 1.6, and of `torch.save(…, _use_new_zipfile_serialization=False)`: five pickles (magic number,
/// version, machine, object, storage keys), then each storage as a 64-bit count and its raw elements. Always little endian.
enum TorchLegacyFile {
  /// 0x1950a86a20f9469cfc6c, little endian.
  private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]

  /// Whether `bytes` begin with the magic number's pickle, or are one of the TAR files of torch before 0.1.10.
  static func recognizes(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if isTar(bytes) { return true }
    guard bytes.count >= 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) else { return false }
    let number = [Opcode.long1.rawValue, UInt8(magic.count)] + magic
    let start = bytes.count > 2 && bytes[2] == Opcode.frame.rawValue ? 11 : 2
    return bytes.dropFirst(start).starts(with: number)
  }

  private static func isTar(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 512, bytes[257..<262].elementsEqual("ustar".utf8) else { return false }
    let name = bytes[..<100].prefix { $0 != 0 }
    return ["sys_info", "pickle", "tensors", "storages"].contains { name.elementsEqual($0.utf8) }
  }

  /// Reads a file that ``recognizes(_:)`` knows.
  static func read(_ file: ByteRegion, path: String) throws(ModelFileError) -> ModelSource {
    let bytes = file.buffer
    guard !isTar(bytes) else {
      throw ModelFileError(
        .unsupported, path: path, "this is a TAR checkpoint of torch before 0.1.10",
        advice: "load it with an old torch and save it again")
    }
    var cursor = FileCursor(bytes, range: 0..<bytes.count, path: path, what: "the checkpoint")
    try readPreamble(&cursor)
    var machine = PickleMachine(path: path)
    let root = try machine.run(&cursor)
    let ranges = try storageRanges(&cursor, arena: machine.arena)
    let state = try StateDict(root, in: machine.arena, path: path)
    var collector = TorchCollector(container: .torchLegacy, file: file, path: path, isSwapped: false)
    try collector.collect(state) { (storage) throws(ModelFileError) in
      guard let range = ranges[storage.key] else {
        throw ModelFileError(.missing, path: path, "storage '\(printable(storage.key))' is not in the file")
      }
      return range
    }
    return collector.source
  }

  /// The magic number, the version, and the description of the machine that wrote the file.
  private static func readPreamble(_ cursor: inout FileCursor) throws(ModelFileError) {
    let path = cursor.path
    var machine = PickleMachine(path: path)
    guard case .big(let number) = try machine.run(&cursor), number == magic else {
      throw ModelFileError(.notAModel, path: path, "the magic number of torch.save is not there")
    }
    machine = PickleMachine(path: path)
    guard case .int(1001) = try machine.run(&cursor) else {
      throw ModelFileError(.unsupported, path: path, "the checkpoint's protocol version is not 1001")
    }
    machine = PickleMachine(path: path)
    let system = try machine.run(&cursor)
    guard machine.arena.items(of: system, .dictionary) != nil else {
      throw ModelFileError(.badStructure, path: path, "the description of the machine is no dictionary")
    }
  }

  /// Where the bytes of each storage lie: behind the list of their keys, in its order.
  private static func storageRanges(
    _ cursor: inout FileCursor, arena: PickleArena
  ) throws(ModelFileError) -> [String: Range<Int>] {
    let path = cursor.path
    var known: [String: TorchStorage] = [:]
    for storage in arena.storages {
      guard let other = known[storage.key] else {
        known[storage.key] = storage
        continue
      }
      if other.byteCount != storage.byteCount {
        throw ModelFileError(.badStructure, path: path, "storage '\(printable(storage.key))' has two sizes")
      }
    }
    var machine = PickleMachine(path: path)
    let list = try machine.run(&cursor)
    guard let keys = machine.arena.items(of: list, .list) else {
      throw ModelFileError(.badStructure, path: path, "the storages' keys are no list")
    }
    var ranges: [String: Range<Int>] = [:]
    for value in keys {
      guard let key = PickleMachine.key(value), let storage = known[key], let size = storage.byteCount else {
        throw ModelFileError(.badStructure, path: path, "the list of storages names one that no tensor uses")
      }
      let count = try cursor.integer(Int64.self)
      guard count == storage.count else {
        throw ModelFileError(
          .badStructure, path: path,
          "storage '\(printable(key))' has \(count) elements, the pickle says \(storage.count)")
      }
      let start = cursor.place
      _ = try cursor.take(size)
      guard ranges.updateValue(start..<cursor.place, forKey: key) == nil else {
        throw ModelFileError(.duplicate, path: path, "storage '\(printable(key))' is there twice")
      }
    }
    return ranges
  }
}
