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
  public static func read(_ file: MappedFile) throws -> ModelSource {
    guard file.region.count > 0 else {
      throw ModelFileError(.notAModel, path: file.path, "the file is empty")
    }
    if TorchLegacyFile.recognizes(file.region.buffer) { return try TorchLegacyFile.read(file) }
    guard ZipArchive.hasSignature(file.region.buffer) else {
      throw ModelFileError(.notAModel, path: file.path, "no file that torch.save wrote")
    }
    return try readArchive(file)
  }

  private static func isTorchName(_ name: String) -> Bool {
    ["data.pkl", "constants.pkl"].contains(name.split(separator: "/").last.map(String.init) ?? "")
  }

  private static func readArchive(_ file: MappedFile) throws(ModelFileError) -> ModelSource {
    let path = file.path
    let bytes = file.region.buffer
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
    var collector = TorchCollector(container: .torch, file: file, isSwapped: isSwapped)
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

/// Turns the tensors of a state dict into those of a source.
struct TorchCollector {
  /// What was collected.
  private(set) var source: ModelSource
  private let file: MappedFile
  private let isSwapped: Bool
  /// The bytes that views larger than their storages may still take, together: such views cost the file nothing.
  private var expansion: Int
  private var known: [TorchView.Identity: String] = [:]

  /// A collector for the checkpoint in `file`, whose storages are big endian if `isSwapped`.
  init(container: ModelSource.Container, file: MappedFile, isSwapped: Bool) {
    source = ModelSource(container: container, path: file.path, files: [file.path], tensors: [])
    self.file = file
    self.isSwapped = isSwapped
    expansion = max(64 << 20, file.region.count)
  }

  /// Adds the tensors of `state`; `range` finds a storage's bytes in the file.
  mutating func collect(
    _ state: StateDict, range: (TorchStorage) throws(ModelFileError) -> Range<Int>
  ) throws(ModelFileError) {
    source.notes += state.notes
    source.configuration = state.arguments
    for item in state.items {
      let storage = item.tensor.storage
      let bytes = try range(storage)
      guard bytes.count == storage.byteCount else {
        throw ModelFileError(
          bytes.count < storage.byteCount ?? 0 ? .truncated : .badStructure, path: file.path,
          "storage '\(printable(storage.key))' has \(bytes.count) bytes, the pickle says \(storage.byteCount ?? 0)"
        )
      }
      let view = try TorchView(item.tensor, name: item.name, available: bytes.count, path: file.path)
      let identity = view.identity(storage: storage.key)
      if view.elementCount > 0, let first = known[identity] {
        source.aliases[item.name] = first
        continue
      }
      known[identity] = item.name
      if view.isExpanded(over: bytes.count) { try allowExpansion(of: view, name: item.name) }
      let region = file.region.slice(bytes)
      source.tensors.append(
        StoredTensor(
          name: item.name, shape: view.shape, format: view.format,
          bytes: view.bytes(of: region, isSwapped: isSwapped)))
    }
  }

  private mutating func allowExpansion(of view: TorchView, name: String) throws(ModelFileError) {
    let (rest, overflow) = expansion.subtractingReportingOverflow(view.byteCount)
    guard !overflow, rest >= 0 else {
      throw ModelFileError(
        .badStructure, path: file.path,
        "tensor '\(printable(name))' with sizes \(view.shape) repeats a small storage \(view.byteCount) bytes long",
        advice: "save it with .contiguous()")
    }
    expansion = rest
  }
}
