import TensorCore

/// Turns the tensors of a state dict into those of a source.
struct TorchCollector {
  /// What was collected.
  private(set) var source: ModelSource
  private let file: ByteRegion
  private let isSwapped: Bool
  /// The bytes that views larger than their storages may still take, together: such views cost the file nothing.
  private var expansion: Int
  private var known: [TorchView.Identity: String] = [:]

  /// A collector for the checkpoint in `file` from `path`, whose storages are big endian if `isSwapped`.
  init(container: ModelSource.Container, file: ByteRegion, path: String, isSwapped: Bool) {
    source = ModelSource(container: container, path: path, files: [path], tensors: [])
    self.file = file
    self.isSwapped = isSwapped
    expansion = max(64 << 20, file.count)
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
          bytes.count < storage.byteCount ?? 0 ? .truncated : .badStructure, path: source.path,
          "storage '\(printable(storage.key))' has \(bytes.count) bytes, the pickle says \(storage.byteCount ?? 0)"
        )
      }
      let view = try TorchView(item.tensor, name: item.name, available: bytes.count, path: source.path)
      let identity = view.identity(storage: storage.key)
      if view.elementCount > 0, let first = known[identity] {
        source.aliases[item.name] = first
        continue
      }
      known[identity] = item.name
      if view.isExpanded(over: bytes.count) { try allowExpansion(of: view, name: item.name) }
      let region = file.slice(bytes)
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
        .badStructure, path: source.path,
        "tensor '\(printable(name))' with sizes \(view.shape) repeats a small storage \(view.byteCount) bytes long",
        advice: "save it with .contiguous()")
    }
    expansion = rest
  }
}
