//! The device as the engine sees it: one context, one stream, plain buffers, and errors that say what did not fit.
//! Knows no model.

use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUevent_flags, CUresult, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaEvent, CudaGraph, CudaStream, result, sys};

use super::error::{Doing, GpuError};
use super::libraries::CudaDevice;

/// One device with the stream everything runs on.
pub(super) struct Gpu {
    pub(super) context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    pub(super) properties: CudaDevice,
}

/// Device memory, freed when dropped. Addresses inside it are plain numbers, because captured graphs keep them.
pub(super) struct Buffer {
    context: Arc<CudaContext>,
    address: CUdeviceptr,
    num_bytes: usize,
}

/// Page-locked host memory the device copies from and to.
pub(super) struct Pinned<T> {
    context: Arc<CudaContext>,
    start: *mut T,
    len: usize,
}

// SAFETY: the memory belongs to this value alone; the pointer is only reached through `&self` and `&mut self`.
unsafe impl<T: Send> Send for Pinned<T> {}

/// Values that are what their bytes are.
pub(super) trait Plain: Copy + 'static {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for i32 {}
impl Plain for u64 {}
impl Plain for f32 {}

impl Gpu {
    /// Opens device 0 and a stream of our own (the default one cannot be captured).
    pub(super) fn open(properties: CudaDevice) -> Result<Self, GpuError> {
        let context = CudaContext::new(0).doing("opening the device")?;
        // SAFETY: buffers here are our own, ordered by the one stream; cudarc's tracking events would break captures.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().doing("making a stream")?;
        Ok(Gpu { context, stream, properties })
    }

    /// Bytes of device memory nobody has taken.
    pub(super) fn free_bytes(&self) -> Result<u64, GpuError> {
        Ok(self.context.mem_get_info().doing("asking for free memory")?.0 as u64)
    }

    /// Unset memory for `count` values. When there is not enough, the error says which setting to lower.
    pub(super) fn allocate<T: Plain>(
        &self,
        count: usize,
        what: &'static str,
        hint: &'static str,
    ) -> Result<Buffer, GpuError> {
        self.context.bind_to_thread().doing("using the device")?;
        let num_bytes = count.saturating_mul(size_of::<T>()).max(1);
        // SAFETY: the address is kept in the buffer, which frees it once.
        match unsafe { result::malloc_sync(num_bytes) } {
            Ok(address) => Ok(Buffer { context: self.context.clone(), address, num_bytes }),
            Err(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Err(GpuError::OutOfMemory { what, asked_bytes: num_bytes as u64, free_bytes: self.free_bytes()?, hint })
            }
            Err(error) => Err(error).doing("allocating device memory"),
        }
    }

    /// Memory for `count` values, all bits zero.
    pub(super) fn zeroed<T: Plain>(
        &self,
        count: usize,
        what: &'static str,
        hint: &'static str,
    ) -> Result<Buffer, GpuError> {
        let buffer = self.allocate::<T>(count, what, hint)?;
        // SAFETY: the range is the buffer's own.
        unsafe { result::memset_d8_async(buffer.address, 0, buffer.num_bytes, self.stream.cu_stream()) }
            .doing("clearing device memory")?;
        self.synchronize()?;
        Ok(buffer)
    }

    /// Copies values to `byte_offset` in `buffer` and waits: for loading, not for steps.
    pub(super) fn upload<T: Plain>(&self, values: &[T], buffer: &Buffer, byte_offset: usize) -> Result<(), GpuError> {
        self.context.bind_to_thread().doing("using the device")?;
        assert!(byte_offset + size_of_val(values) <= buffer.num_bytes, "an upload past the end of its buffer");
        // On our stream, not by the driver's synchronous copy: that one's end and our stream's next work are not ordered.
        // SAFETY: the range was checked to be the buffer's own, and the values live until the wait is over.
        unsafe { result::memcpy_htod_async(buffer.at(byte_offset), values, self.stream.cu_stream()) }
            .doing("copying to the device")?;
        self.synchronize()
    }

    /// Copies values from `byte_offset` in `buffer` and waits: for checks, not for steps.
    pub(super) fn download<T: Plain>(
        &self,
        buffer: &Buffer,
        byte_offset: usize,
        values: &mut [T],
    ) -> Result<(), GpuError> {
        self.synchronize()?;
        assert!(byte_offset + size_of_val(values) <= buffer.num_bytes, "a download past the end of its buffer");
        // SAFETY: the range was checked to be the buffer's own.
        unsafe { result::memcpy_dtoh_sync(values, buffer.at(byte_offset)) }.doing("copying from the device")
    }

    /// Queues a copy of `len` values to the device. `from` must not change until the stream got past it.
    pub(super) fn enqueue_upload(&self, from: &Pinned<i32>, len: usize, to: &Buffer) -> Result<(), GpuError> {
        assert!(len <= from.len && len * size_of::<i32>() <= to.num_bytes, "a copy past the end of its buffer");
        // SAFETY: both ranges were checked; the executor waits for the step before it writes `from` again.
        unsafe { result::memcpy_htod_async(to.address, &from.as_slice()[..len], self.stream.cu_stream()) }
            .doing("copying a step's inputs")
    }

    /// Queues a copy of `len` values from the device.
    pub(super) fn enqueue_download(&self, from: &Buffer, len: usize, to: &mut Pinned<u64>) -> Result<(), GpuError> {
        assert!(len <= to.len && len * size_of::<u64>() <= from.num_bytes, "a copy past the end of its buffer");
        // SAFETY: both ranges were checked; the executor waits for the step before it reads `to`.
        unsafe { result::memcpy_dtoh_async(&mut to.as_mut_slice()[..len], from.address, self.stream.cu_stream()) }
            .doing("copying a step's tokens")
    }

    /// Records `event` as a part of the work being captured: each replay then takes the time anew.
    pub(super) fn record_in_graph(&self, event: &CudaEvent) -> Result<(), GpuError> {
        let external = sys::CUevent_record_flags_enum::CU_EVENT_RECORD_EXTERNAL as u32;
        // SAFETY: event and stream are live.
        unsafe { sys::cuEventRecordWithFlags(event.cu_event(), self.stream.cu_stream(), external) }
            .result()
            .doing("recording an event in a graph")
    }

    /// Waits until the stream has done everything.
    pub(super) fn synchronize(&self) -> Result<(), GpuError> {
        self.stream.synchronize().doing("waiting for the device")
    }

    /// An event that takes times.
    pub(super) fn event(&self) -> Result<CudaEvent, GpuError> {
        self.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).doing("making an event")
    }

    /// `count` values of page-locked memory, zero.
    pub(super) fn pinned<T: Plain>(&self, count: usize) -> Result<Pinned<T>, GpuError> {
        self.context.bind_to_thread().doing("using the device")?;
        // Plain flags: write-combined memory, the other choice, is terribly slow to read back.
        // SAFETY: the pointer is kept in the value, which frees it once.
        let start = unsafe { result::malloc_host(count.max(1) * size_of::<T>(), 0) }.doing("page-locking memory")?;
        let start = start.cast::<T>();
        // SAFETY: `count` values were just allocated there.
        unsafe { start.write_bytes(0, count) };
        Ok(Pinned { context: self.context.clone(), start, len: count })
    }

    /// Records what `enqueue` puts on the stream as a graph, and makes it ready to launch.
    pub(super) fn capture(&self, enqueue: impl FnOnce() -> Result<(), GpuError>) -> Result<CudaGraph, GpuError> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).doing("beginning a graph capture")?;
        let enqueued = enqueue();
        // Ended in any case, or the stream would stay in capture.
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).doing("making a CUDA graph");
        enqueued?;
        let graph = graph?.ok_or_else(|| GpuError::Step("the captured graph is empty".to_owned()))?;
        graph.upload().doing("making a CUDA graph")?;
        Ok(graph)
    }

    /// Time `enqueue`'s work takes on the device, in milliseconds, by events around it.
    pub(super) fn time(&self, enqueue: impl FnOnce() -> Result<(), GpuError>) -> Result<f32, GpuError> {
        let (start, end) = (self.event()?, self.event()?);
        start.record(&self.stream).doing("recording an event")?;
        enqueue()?;
        end.record(&self.stream).doing("recording an event")?;
        start.elapsed_ms(&end).doing("reading device time")
    }
}

impl Buffer {
    /// Its first byte on the device.
    pub(super) fn address(&self) -> CUdeviceptr {
        self.address
    }

    /// The byte at `offset`.
    pub(super) fn at(&self, offset: usize) -> CUdeviceptr {
        self.address + offset as u64
    }

    /// Its size.
    pub(super) fn num_bytes(&self) -> usize {
        self.num_bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated by `Gpu::allocate`, freed here only; the driver waits for work that uses it.
        self.context.record_err(unsafe { result::free_sync(self.address) });
    }
}

impl<T: Plain> Pinned<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        // SAFETY: `len` values were allocated and zeroed.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated by `Gpu::pinned`, freed here only.
        self.context.record_err(unsafe { result::free_host(self.start.cast()) });
    }
}
