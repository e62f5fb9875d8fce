public import ModelFiles
import TensorCore

extension Checkpoint {
  /// The same model with wider feed-forward layers, whose rows divide by `multiple`: neurons whose weights are all zero are added,
  /// which changes no prediction.
  ///
  /// A block format cannot store rows that do not divide by its block, so the matrix that reads the neurons would stay in half
  /// precision, three times as large.
  ///
  /// - Returns: nil when nothing has to be widened, or the architecture or the stored formats do not allow it.
  public func paddingFeedForward(to multiple: Int) -> Checkpoint? {
    guard let llama = architecture as? LlamaArchitecture, case .object(var object) = configuration else {
      return nil
    }
    let width = llama.configuration.intermediateSize
    let wider = (width + multiple - 1) / multiple * multiple
    guard multiple > 0, width >= multiple, wider > width else { return nil }
    object["intermediate_size"] = .integer(wider)
    guard let architecture = try? LlamaArchitecture(configuration: .object(object)) else { return nil }
    var result = self
    result.configuration = .object(object)
    result.architecture = architecture
    result.feedForwardWidthBeforePadding = width
    for place in tensors.indices {
      let tensor = tensors[place]
      let isInner = tensor.name.contains(".mlp.")
      guard isInner else { continue }
      guard tensor.format.isFloat, let padded = tensor.padded(from: width, to: wider) else { return nil }
      result.tensors[place] = padded
    }
    result.notes.append(
      "feed-forward layers widened from \(width) to \(wider) by neurons of zeros, so that rows divide by \(multiple); "
        + "predictions are the same")
    return result
  }
}

extension StoredTensor {
  /// The tensor with its size `width` made `wider` by zeros; unchanged where no size is `width` in the place that holds neurons.
  fileprivate func padded(from width: Int, to wider: Int) -> StoredTensor? {
    let element = format.bytesPerBlock
    var result = self
    // Rows are neurons in gate and up and in their biases, columns in down; down's bias has none.
    let isReader = name.contains(".down_proj.")
    if isReader, shape.count < 2 { return self }
    guard let axis = isReader ? shape.indices.last : shape.indices.first, shape[axis] == width else {
      return nil
    }
    result.shape[axis] = wider
    let (rows, before, after) =
      isReader
      ? (rowCount, rowLength * element, wider * element)
      : (1, bytes.count, bytes.count / width * wider)
    let source = bytes
    result.bytes = TensorBytes(count: rows * after) {
      let stored = try source.load()
      return ByteRegion(count: rows * after) { target in
        guard let base = target.baseAddress else { return }
        for row in 0..<rows {
          (base + row * after).copyMemory(from: stored.base + row * before, byteCount: before)
        }
      }
    }
    return result
  }
}
