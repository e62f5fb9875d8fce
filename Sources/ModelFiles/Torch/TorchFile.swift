public import TensorCore

/// Checkpoints that `torch.save` wrote: ZIP archives since torch 1.6, pickles with raw storages behind them before.
///
/// Pickles are read with a whitelist of names that build tensors and plain data; any other name is refused, and nothing is
/// ever called. Tensors are views of the mapped file where they lie there contiguous and little endian.
public enum TorchFile {
  /// Whether `head`, the whole file, is such a checkpoint, or one of torch's that we refuse with a reason.
  public static func recognizes(_ head: UnsafeRawBufferPointer) -> Bool {
    if TorchLegacyFile.recognizes(head) { return true }
    guard ZipArchive.hasSignature(head) else { return false }
    if let first = ZipArchive.firstName(head), isTorchName(first) { return true }
    guard let archive = try? ZipArchive(head, path: "") else { return false }
    return archive.entries.contains { isTorchName($0.name) }
  }

  /// Reads the checkpoint: container `.torch`, or `.torchLegacy`.
  ///
  /// The model's tensors are found at the top or under `model`, `state_dict`, `model_state_dict` or `module`; prefixes
  /// `module.` and `_orig_mod.` that all names carry are taken off. The dictionary `model_args`, if there, becomes the
  /// configuration.
  ///
  /// - Throws: ``ModelFileError``.
  public static func read(_ file: MappedFile) throws -> ModelSource { try read(file.region, path: file.path) }

  /// Reads the checkpoint that `file` holds, which came from `path`.
  package static func read(_ file: ByteRegion, path: String) throws(ModelFileError) -> ModelSource {
    guard file.count > 0 else { throw ModelFileError(.notAModel, path: path, "the file is empty") }
    if TorchLegacyFile.recognizes(file.buffer) { return try TorchLegacyFile.read(file, path: path) }
    guard ZipArchive.hasSignature(file.buffer) else {
      throw ModelFileError(.notAModel, path: path, "no file that torch.save wrote")
    }
    return try readArchive(file, path: path)
  }

  private static func isTorchName(_ name: String) -> Bool {
    ["data.pkl", "constants.pkl"].contains(name.split(separator: "/").last.map(String.init) ?? "")
  }

  private static func readArchive(_ file: ByteRegion, path: String) throws(ModelFileError) -> ModelSource {
    let bytes = file.buffer
    let archive = try ZipArchive(bytes, path: path)
    let pickles = archive.entries.filter { $0.name == "data.pkl" || $0.name.hasSuffix("/data.pkl") }
    guard let pickle = pickles.first, pickles.count == 1 else {
      let what = pickles.isEmpty ? "no data.pkl" : "\(pickles.count) files data.pkl"
      throw ModelFileError(
        .notAModel, path: path, "the ZIP archive holds \(what): no checkpoint of torch.save")
    }
    let root = String(pickle.name.dropLast("data.pkl".count))
    try checkKind(archive, root: root, path: path)
    guard CRC32.checksum(UnsafeRawBufferPointer(rebasing: bytes[pickle.range])) == pickle.checksum else {
      throw ModelFileError(
        .corrupt, path: path, "the checksum of '\(printable(pickle.name))' does not agree",
        advice: "download or save the file again")
    }
    var cursor = FileCursor(bytes, range: pickle.range, path: path, what: "the pickle")
    var machine = PickleMachine(path: path)
    let value = try machine.run(&cursor)
    let state = try StateDict(value, in: machine.arena, path: path)
    let isSwapped = try isBigEndian(archive, root: root, bytes: bytes, path: path)
    var collector = TorchCollector(container: .torch, file: file, path: path, isSwapped: isSwapped)
    try collector.collect(state) { (storage) throws(ModelFileError) in
      let name = root + "data/" + storage.key
      guard let entry = archive[name] else {
        throw ModelFileError(
          .missing, path: path, "storage '\(printable(name))' is not in the archive",
          advice: "download or save the file again")
      }
      return entry.range
    }
    return collector.source
  }

  /// Refuses compressed archives and TorchScript, which is a program and no checkpoint.
  private static func checkKind(_ archive: ZipArchive, root: String, path: String) throws(ModelFileError) {
    if archive[root + "constants.pkl"] != nil
      || archive.entries.contains(where: { $0.name.hasPrefix(root + "code/") })
    {
      throw ModelFileError(
        .unsupported, path: path, "this is a TorchScript archive, a program",
        advice: "save a state_dict instead: torch.save(model.state_dict(), path)")
    }
    if let entry = archive.entries.first(where: { $0.method != 0 }) {
      throw ModelFileError(
        .unsupported, path: path,
        "the ZIP entry '\(printable(entry.name))' is compressed (method \(entry.method)), torch stores them plain",
        advice: "unpack the archive and store it without compression, or torch.save it again")
    }
  }

  private static func isBigEndian(
    _ archive: ZipArchive, root: String, bytes: UnsafeRawBufferPointer, path: String
  ) throws(ModelFileError) -> Bool {
    guard let entry = archive[root + "byteorder"] else { return false }
    let order = String(decoding: bytes[entry.range].prefix(32), as: UTF8.self)
    switch order {
    case "little": return false
    case "big": return true
    default: throw ModelFileError(.unsupported, path: path, "unknown byte order '\(printable(order))'")
    }
  }
}
